"""A Perfetto trace read back with the classes of its own package, as a viewer takes it: what is on each track, ends found for begins."""

from typing import Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

Read = dict[str, list[tuple[Any, ...]]]


def read(data: bytes) -> Read:
    """Return what is on each track, by its path of names: slices and instants (begin, end, name, category, notes), samples (at, value)."""
    trace = Trace.FromString(data)
    trace.DiscardUnknownFields()
    assert trace.ByteSize() == len(data)
    tracks = [p.track_descriptor for p in trace.packet if p.HasField("track_descriptor")]
    assert len({t.uuid for t in tracks}) == len(tracks)
    known = {t.uuid: t for t in tracks}
    told: dict[int, list[tuple[Any, ...]]] = {t.uuid: [] for t in tracks}
    open_: dict[int, list[tuple[Any, ...]]] = {t.uuid: [] for t in tracks}
    events = [p for p in trace.packet if p.HasField("track_event")]
    assert [p.timestamp for p in events] == sorted(p.timestamp for p in events)
    for at, e in ((p.timestamp, p.track_event) for p in events):
        mine = told[e.track_uuid]
        if e.type == TrackEvent.TYPE_SLICE_BEGIN:
            mine.append(_event(at, None, e))
            open_[e.track_uuid].append((len(mine) - 1, at))
        elif e.type == TrackEvent.TYPE_SLICE_END:  # of the slice that began last
            number, begin = open_[e.track_uuid].pop()
            mine[number] = (begin, at, *mine[number][2:])
        elif e.type == TrackEvent.TYPE_INSTANT:
            mine.append(_event(at, at, e))
        else:
            assert e.type == TrackEvent.TYPE_COUNTER and known[e.track_uuid].HasField("counter")
            mine.append((at, e.counter_value))
    paths: Read = {}
    for t in tracks:
        parent = f"{known[t.parent_uuid].name}/" if t.parent_uuid else ""
        paths.setdefault(f"{parent}{t.name}", []).extend(told[t.uuid])
    return paths


def _event(begin: int, end: int | None, e: TrackEvent) -> tuple[Any, ...]:
    notes = [(n.name, n.int_value if n.HasField("int_value") else n.string_value) for n in e.debug_annotations]
    return begin, end, e.name, *e.categories, dict(notes)
