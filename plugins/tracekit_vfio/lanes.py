"""Lanes of VFIO: each vector's handler, SET_IRQS, and the windows in which no vector was in place."""

from collections.abc import Iterator

from tracekit import VFIO_MSI, VFIO_MSIX, Bar, Lane, Row, Scene, lane

_KINDS = (VFIO_MSI, VFIO_MSIX, None)
MOST_VECTORS = 8  # lanes of handlers: more say nothing new


@lane(40, reads=("op_vector", "vector_sets"))
def handlers(scene: Scene) -> Iterator[Lane]:
    """Show when each vector had its eventfd, and so a handler, one lane per vector."""
    changes: dict[int, list[Row]] = {}
    for r in scene.rows("op_vector"):
        if r.vector is not None and (r.ret is None or r.ret >= 0):
            changes.setdefault(r.vector, []).append(r)
    freed = sorted(end for s in scene.rows("vector_sets") if (end := scene.until(s)) is not None)
    for vector in sorted(changes)[:MOST_VECTORS]:
        bars = tuple(_wired(scene, changes[vector], freed))
        more = f" (of {len(changes)})" if len(changes) > MOST_VECTORS and vector == sorted(changes)[MOST_VECTORS - 1] else ""
        yield Lane(f"vector {vector} handled{more}", "op_vector", bars)


def _wired(scene: Scene, changes: list[Row], freed: list[int]) -> Iterator[Bar]:
    """Yield the times between the wiring of a vector and its next change, or the freeing of all."""
    for i, r in enumerate(changes):
        if r.fd is not None and r.fd < 0:
            continue
        begin = scene.until(r) or scene.at(r) or 0
        ends = [e for e in freed if e > begin][:1]
        if i + 1 < len(changes):
            ends.append(scene.at(changes[i + 1]) or begin)
        yield Bar(begin, min(ends, default=None), f"irq {r.irq}" if r.irq is not None else "wired", "handler", r.source, r.line, r.line_end)


@lane(60, reads=("op_set_irqs",))
def requests(scene: Scene) -> Iterator[Lane]:
    """Show VFIO_DEVICE_SET_IRQS of MSI and MSI-X; those that the closing kernel makes itself are left out."""
    yield Lane(
        "SET_IRQS", "op_set_irqs", tuple(_request(scene, r) for r in scene.rows("op_set_irqs") if not r.closing and r.index in _KINDS)
    )


def _request(scene: Scene, r: Row) -> Bar:
    refused = r.ret is not None and r.ret < 0
    text = ("" if r.count is None else f"count {r.count}") + (f": {r.ret}" if refused else "")
    return Bar(scene.at(r) or 0, scene.until(r), text or "SET_IRQS", "bad" if refused else "calm", r.source, r.line, r.line_end)


@lane(80, reads=("windows",))
def windows(scene: Scene) -> Iterator[Lane]:
    """Show the windows between a disable and the enable after it; at most as long, since calls bound them."""
    bars = tuple(b for r in scene.rows("windows") if r.kind not in ("close", "wanted") if (b := _window(scene, r)) is not None)
    yield Lane("no vectors", "windows", bars, shades=True)


def _window(scene: Scene, r: Row) -> Bar | None:
    last = r.enable_end or r.disable_end
    end = last if scene.unit == "line" else r.enable_ts
    if end is None and r.kind != "failed":
        return None
    size = f"{r.old if r.old is not None else '?'}→{r.new if r.new is not None else '?'}"
    long = f" at most {r.span / 1e6:,.3f} ms" if r.span is not None else ""
    return Bar(scene.at(r) or 0, end, size + long, "bad", r.source, r.line, last)
