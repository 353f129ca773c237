"""The answer to a scenario for a reader: faults with their first step, what the guest sees, what it costs; a grid as a table."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracekit import Answer, Fault, Grid, Pool, Signal
from tracekit_reports.story import plural

MS = 1_000_000


def lines(answer: Answer, names: Mapping[str, str], full: bool) -> Iterator[str]:
    """Yield the page of one answer without its picture. `names`: the name of each code."""
    yield headline(answer)
    for f in answer.first():
        yield ""
        title, *rest = fault(f, names)
        yield title
        yield from (f"  {line}" for line in rest)
    for title, rows in parts(answer, names, full):
        yield ""
        yield f"{title}:"
        yield from (f"  {row}" for row in rows)


def headline(answer: Answer) -> str:
    """Return the verdict."""
    return f"{plural(len(answer.first()), 'fault')}: {answer.verdict}" if answer.faults else "No fault."


def fault(f: Fault, names: Mapping[str, str]) -> list[str]:
    """Return a fault's title, its first step, and what the kernel answers there."""
    step = f"first at step {f.step.number}, {f.step.at / MS:.3f} ms: {f.step.what}"
    return [f"{f.code}  {names.get(f.code, '')}  {f.subject}", step, *filter(None, [f.step.ends])]


def parts(answer: Answer, names: Mapping[str, str], full: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield the parts below the faults, each with its rows; none that is empty."""
    steps = [f"{s.number:>4}  {s.at / MS:>10.3f} ms  {s.subject}: {s.what}{f' ({s.ends})' if s.ends else ''}" for s in answer.steps]
    for title, rows in (
        ("What the guest sees", list(answer.guest)),
        ("Interrupts", [_signal(s) for s in answer.signals]),
        ("What it costs at the worst moment", [_pool(p) for p in answer.pools]),
        ("Without an occasion yet", [f"{code}  {names.get(code, '')}" for code in answer.risks]),
        ("Assumed", list(answer.assumptions)),
        ("Steps", steps if full else []),
    ):
        if rows:
            yield title, rows


def table(grid: Grid) -> Iterator[str]:
    """Yield a table, its columns as wide as they are."""
    yield from _aligned(rows_of(grid))


def rows_of(grid: Grid) -> list[list[str]]:
    """Return the rows of a table, its head first: with two settings the second runs across, else one row a cell."""
    if len(grid.names) == 2:
        return _across(grid)
    return [[*grid.names, "faults"], *([*values, answer.verdict] for values, answer in grid.cells)]


def document(answer: Answer) -> dict[str, Any]:
    """Return an answer as JSON types."""
    return {
        "faults": [_fault(f) for f in answer.first()],
        "risks": list(answer.risks),
        "guest": list(answer.guest),
        "interrupts": [_signal(s) for s in answer.signals],
        "signals": [
            {"at_ns": s.at, "device": s.device, "vector": s.vector, "fate": s.fate, "why": s.why, "late_ns": s.late} for s in answer.signals
        ],
        "cost": [{"pool": p.name, "most": p.most, "size": p.size} for p in answer.pools],
        "assumptions": list(answer.assumptions),
        "gates": dict(answer.gates),
        "steps": [_row(s) for s in answer.steps],
    }


def cells(grid: Grid) -> list[dict[str, Any]]:
    """Return the cells of a grid as JSON types, without their steps."""
    return [
        {"set": dict(zip(grid.names, values, strict=True)), **{k: v for k, v in document(answer).items() if k not in ("steps", "gates")}}
        for values, answer in grid.cells
    ]


def _across(grid: Grid) -> list[list[str]]:
    rows = list(dict.fromkeys(values[0] for values, _ in grid.cells))
    columns = list(dict.fromkeys(values[1] for values, _ in grid.cells))
    told = {values: answer.verdict for values, answer in grid.cells}
    return [[grid.names[0], *(f"{grid.names[1]} {c}" for c in columns)], *([r, *(told[r, c] for c in columns)] for r in rows)]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    yield from ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _signal(s: Signal) -> str:
    """Return what became of one interrupt, and why."""
    late = f"{(s.late or 0) / MS:.3f} ms late"
    told = {
        "delivered": f"delivered at once {s.why}".rstrip(),
        "late": f"pending, delivered {late}: {s.why}",
        "pending": f"pending to the end: {s.why}",
        "unsure": f"lost, unless the device keeps it pending{f', then {late}' if s.late is not None else ''}: {s.why}",
        "lost": f"lost: {s.why}",
    }[s.fate]
    return f"{s.at / MS:.3f} ms {s.device} {'INTx' if s.vector is None else f'vector {s.vector}'}: {told}"


def _pool(p: Pool) -> str:
    short = ": too few" if p.size is not None and p.most > p.size else ""
    return f"{p.name}: {p.most:,}" + (f" of {p.size:,}{short}" if p.size is not None else "")


def _fault(f: Fault) -> dict[str, Any]:
    return {"code": f.code, "subject": f.subject, "first": _row(f.step)}


def _row(s: Any) -> dict[str, Any]:
    return {"step": s.number, "at_ns": s.at, "subject": s.subject, "what": s.what, "ends": s.ends}
