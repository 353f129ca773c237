"""Draw a state machine as SVG: each state is a column, each row an operation, each arrow leads from the state before to the one after."""

from collections.abc import Iterator, Sequence
from html import escape

from states import Graph, Step

NAMES = 190  # width of the operations' names
COLUMN = 132  # least distance of two states
TOP, ROW, GAP = 46, 30, 10
CHAR = 6.1  # width of a character
LOOP = 9  # radius of the mark of an operation that changes no state


def drawing(graph: Graph) -> str:
    """Return the SVG element. Its colours are variables of the page (`site.css`)."""
    rows = list(_rows(graph))
    at = {state: NAMES + COLUMN * i + COLUMN / 2 for i, state in enumerate(graph.states)}
    width = NAMES + COLUMN * len(graph.states)
    height = TOP + sum(len(lines) * ROW + GAP for _, lines in rows)
    body = "".join([*_states(at, height), *_operations(rows, at, width)])
    box = f'viewBox="0 0 {width} {height}" style="max-width: {width}px; min-width: {min(width, 560)}px"'
    return f'<svg class="states" xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{escape(graph.title)}">{_HEAD}{body}</svg>'


_HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path class="head" d="M0,0 L8,4 L0,8 z"/></marker></defs>'
)


def _rows(graph: Graph) -> Iterator[tuple[str, list[list[Step]]]]:
    """Yield each operation with its steps in lines: steps of one line do not cover each other."""
    place = {state: i for i, state in enumerate(graph.states)}
    for name in dict.fromkeys(s.operation for s in graph.steps):
        lines: list[list[Step]] = []
        for step in (s for s in graph.steps if s.operation == name and (s.before != s.after or s.result)):
            reach = _reach(step, place)
            free = next((line for line in lines if all(_reach(s, place).isdisjoint(reach) for s in line)), None)
            if free is None:
                lines.append(free := [])
            free.append(step)
        if lines:
            yield name, lines


def _reach(step: Step, place: dict[str, int]) -> set[int]:
    """Return the halves of columns that a step covers: a result without an arrow stands to the right of its state."""
    a, b = sorted((place[step.before], place[step.after]))
    return {2 * a, 2 * a + 1} if a == b else set(range(2 * a, 2 * b + 1))


def _states(at: dict[str, float], height: float) -> Iterator[str]:
    for state, x in at.items():
        yield f'<line class="life" x1="{x}" x2="{x}" y1="{TOP - 8}" y2="{height}"/>'
        yield f'<rect class="state" x="{x - COLUMN / 2 + 4}" y="4" width="{COLUMN - 8}" height="34" rx="6"/>'
        first, _, second = state.partition(", ")
        if second:
            yield f'<text class="name" x="{x}" y="18">{escape(first)}</text><text class="name" x="{x}" y="32">{escape(second)}</text>'
        else:
            yield f'<text class="name" x="{x}" y="25">{escape(first)}</text>'


def _operations(rows: Sequence[tuple[str, list[list[Step]]]], at: dict[str, float], width: float) -> Iterator[str]:
    y = float(TOP)
    for name, lines in rows:
        yield f'<line class="rule" x1="0" x2="{width}" y1="{y}" y2="{y}"/>'
        yield f'<text x="0" y="{y + 19}">{escape(name)}</text>'
        for line in lines:
            yield from (_step(step, at, y + 21) for step in line)
            y += ROW
        y += GAP


def _step(step: Step, at: dict[str, float], y: float) -> str:
    a, b = at[step.before], at[step.after]
    tone = "refused" if step.result.startswith("-") or step.result.startswith("lost") else "done"
    result = escape(step.result)
    if a == b:
        shape = f'<circle class="{tone}" cx="{a}" cy="{y}" r="3.5"/>'
        return f'{shape}<text class="{tone}" x="{a + 7}" y="{y + 4}">{result}</text>'
    ends = f'x1="{a}" x2="{b - 4 if b > a else b + 4}" y1="{y}" y2="{y}"'
    shape = f'<circle class="{tone}" cx="{a}" cy="{y}" r="2.5"/><line class="arrow {tone}" {ends} marker-end="url(#head)"/>'
    return f'{shape}<text class="on {tone}" x="{(a + b) / 2}" y="{y - 4}">{result}</text>'
