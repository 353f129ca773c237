"""Lanes of Xen: the pirqs that are in use, and the requests that were refused."""

from collections.abc import Iterator

from tracekit import Bar, Lane, Mark, Row, Scene, lane

MOST_PIRQS = 10  # lanes of pirqs


@lane(20, reads=("pirq_lives", "pirq_facts"), about=("pci", "domain", "unknown"))
def pirqs_in_use(scene: Scene) -> Iterator[Lane]:
    """Show how many pirqs are in use, beside the limit where it is recorded."""
    lives = list(scene.rows("pirq_lives"))
    if not lives:
        return
    limit = max((f.value for f in scene.rows("pirq_facts") if f.fact == "extra" and f.value is not None), default=None)
    yield Lane(f"pirqs in use{f' (of {limit})' if limit else ''}", "pirq_lives", tuple(_counted(scene, lives, limit)))


def _counted(scene: Scene, lives: list[Row], limit: int | None) -> Iterator[Bar]:
    changes = sorted(
        [(scene.at(x) or 0, 1, x) for x in lives] + [(e, -1, x) for x in lives if (e := scene.until(x)) is not None], key=lambda c: c[:2]
    )
    held = 0
    for i, (at, step, row) in enumerate(changes):
        held += step
        until = changes[i + 1][0] if i + 1 < len(changes) else None
        if held > 0 and until != at:
            full = limit is not None and held >= limit
            yield Bar(at, until, f"{held}", "bad" if full else "vectors", row.source, row.line)


@lane(30, reads=("pirq_lives",), about=("pci", "domain", "unknown"))
def pirqs(scene: Scene) -> Iterator[Lane]:
    """Show the life of each pirq, those that were re-used first."""
    by_number: dict[int, list[Row]] = {}
    for x in scene.rows("pirq_lives"):
        by_number.setdefault(x.pirq, []).append(x)
    for pirq in sorted(by_number, key=lambda p: (not any(x.reused for x in by_number[p]), -len(by_number[p]), p))[:MOST_PIRQS]:
        yield Lane(f"pirq {pirq}", "pirq_lives", tuple(_life(scene, x) for x in by_number[pirq]))


def _life(scene: Scene, x: Row) -> Bar:
    text = (f"irq {x.irq}" if x.irq is not None else "in use") + (" re-used" if x.reused else "")
    return Bar(scene.at(x) or 0, scene.until(x), text, "bad" if x.reused else "handler", x.source, x.line, x.line_end)


@lane(40, reads=("xen_map_failed", "op_xen_setup"), about=("pci", "domain", "unknown"))
def refusals(scene: Scene) -> Iterator[Lane]:
    """Show the requests that got no pirq."""
    rows = [*scene.rows("xen_map_failed"), *(r for r in scene.rows("op_xen_setup") if r.ret is not None and r.ret < 0)]
    marks = sorted((Mark(scene.at(r) or 0, f"refused: {r.ret}", "bad", r.source, r.line) for r in rows), key=lambda m: m.at)
    yield Lane("pirq refused", "op_xen_setup", marks=tuple(marks))
