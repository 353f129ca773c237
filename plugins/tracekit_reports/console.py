"""Parts of a page on the terminal: a label beside its text, wrapped to the columns there are."""

import io
from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

COLOUR = {"critical": "bold white on red", "high": "bold red", "medium": "bold yellow", "low": "cyan", "info": "dim"}


def printed(parts: Iterable[RenderableType], width: int, color: bool) -> str:
    """Return the parts one below the other, without blanks at the ends of lines."""
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=color, color_system="standard" if color else None, no_color=not color,
        highlight=False, markup=False, emoji=False, legacy_windows=False, force_jupyter=False, _environ={},
    )  # fmt: skip
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def labelled(label: str, text: Text) -> RenderableType:
    """Return a label and its text beside it."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=13, no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    table.add_row(label, text)
    return indented(table)


def indented(part: RenderableType) -> RenderableType:
    """Return a part two columns to the right."""
    return Padding(part, (0, 0, 0, 2))
