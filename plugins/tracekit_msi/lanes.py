"""Lanes of a function's MSI: its irq domain, its MSI-X table, the vectors in place, and the calls that enable them."""

from collections.abc import Iterator

from tracekit import Bar, Lane, Row, Scene, Tone, lane


@lane(10, reads=("msi_domains",))
def domains(scene: Scene) -> Iterator[Lane]:
    """Show the irq domain with its hwsize, which is fixed when it is created."""
    bars = [_bar(scene, r, f"hwsize {r.hwsize}" if r.hwsize is not None else "hwsize not recorded") for r in scene.rows("msi_domains")]
    yield Lane("irq domain", "msi_domains", tuple(bars))


@lane(20, reads=("enables",))
def tables(scene: Scene) -> Iterator[Lane]:
    """Show the size of the MSI-X table as each enable found it; bad where it differs from hwsize."""
    seen = [(r, r.live != r.hwsize and r.hwsize is not None) for r in scene.rows("enables") if r.live is not None]
    bars: list[Bar] = []
    for i, (r, differs) in enumerate(seen):
        if i and (seen[i - 1][0].live, seen[i - 1][1]) == (r.live, differs):
            continue
        later = next((scene.at(s) for s, d in seen[i + 1 :] if (s.live, d) != (r.live, differs)), None)
        bars.append(Bar(scene.at(r) or 0, later, f"{r.live} entries", "bad" if differs else "good", r.source, r.live_line or r.line))
    yield Lane("MSI-X table", "enables", tuple(bars))


@lane(30, reads=("vector_sets",))
def vectors(scene: Scene) -> Iterator[Lane]:
    """Show how many vectors are in place."""
    bars = [Bar(scene.at(r) or 0, scene.until(r), f"{r.count}", "vectors", r.source, r.line, r.line_end) for r in scene.rows("vector_sets")]
    yield Lane("vectors in place", "vector_sets", tuple(bars))


@lane(50, reads=("enables",))
def enables(scene: Scene) -> Iterator[Lane]:
    """Show each enable: what was asked for and what was returned."""
    yield Lane("enable", "enables", tuple(_enable(scene, r) for r in scene.rows("enables")))


def _enable(scene: Scene, r: Row) -> Bar:
    asked = "?" if r.max is None else f"{r.max}"
    text = f"{asked}: {r.ret}" if r.ret is not None and r.ret < 0 else f"{asked}→{'?' if r.ret is None else r.ret}"
    tone: Tone = "calm" if r.ret is None else "bad" if r.ret < 0 else "good"
    return Bar(scene.at(r) or 0, scene.until(r), text, tone, r.source, r.line, r.line_end)


def _bar(scene: Scene, r: Row, text: str) -> Bar:
    return Bar(scene.at(r) or 0, scene.until(r), text, "domain", r.source, r.line, r.line_end)
