"""Lanes of interrupts: those that were handled, those that remapping hardware refused, drivers that waited, CPU vectors."""

from collections.abc import Iterator

import polars as pl

from tracekit import Bar, Lane, Mark, Scene, lane


@lane(70, reads=("irq_handler_entry", "op_vector"))
def interrupts(scene: Scene) -> Iterator[Lane]:
    """Show the interrupts of the function: those whose action names it, or that came on one of its irqs."""
    entries = scene.all("irq_handler_entry")
    if entries is None:
        return
    bdf = (scene.subject.bdf or "").lower()
    mine = pl.col("irq").is_in(list(scene.irqs)) & ~pl.col("name").str.contains(r"\(\w*:?\w\w:\w\w\.[0-9]\)")
    if bdf:
        mine |= pl.col("name").str.to_lowercase().str.contains(bdf, literal=True)
    yield Lane("interrupts", "irq_handler_entry", marks=tuple(scene.moments(entries.filter(mine), "good", "interrupt")))


@lane(72, reads=("remap_faults",))
def refused(scene: Scene) -> Iterator[Lane]:
    """Show the interrupt requests that remapping hardware refused."""
    marks = tuple(Mark(scene.at(r) or 0, f"refused: {r.text or r.reason}", "bad", r.source, r.line) for r in scene.rows("remap_faults"))
    yield Lane("refused by IOMMU", "remap_faults", marks=marks)


@lane(74, reads=("driver_silences",))
def silences(scene: Scene) -> Iterator[Lane]:
    """Show where a driver found that an interrupt had not come."""
    marks = tuple(Mark(scene.at(r) or 0, r.text, "bad", r.source, r.line) for r in scene.rows("driver_silences"))
    yield Lane("driver waited", "driver_silences", marks=marks)


@lane(20, reads=("vector_failures", "vector_lives"), about=("host", "unknown"))
def cpu_vectors(scene: Scene) -> Iterator[Lane]:
    """Show the irqs that hold a CPU vector as density, and the room that was left at each refusal."""
    lives = scene.all("vector_lives")
    if lives is not None:
        yield Lane("vectors given", "vector_lives", marks=tuple(scene.moments(lives, "vectors", "vector given")))
    failures = list(scene.rows("vector_failures"))
    bars = tuple(
        Bar(
            scene.at(r) or 0, None if i + 1 == len(failures) else scene.at(failures[i + 1]), f"{r.global_avl} left", "bad", r.source, r.line
        )
        for i, r in enumerate(failures)
        if r.global_avl is not None and (i == 0 or failures[i - 1].global_avl != r.global_avl)
    )
    yield Lane("room for vectors", "vector_failures", bars)
    yield Lane(
        "vector refused",
        "vector_failures",
        marks=tuple(Mark(scene.at(r) or 0, f"irq {r.irq} refused ({r.kind})", "bad", r.source, r.line) for r in failures),
    )
