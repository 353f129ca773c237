"""The notebook as a page: its text, its cells, and what each cell prints and shows when the site is built."""

import ast
import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from samples import at_the_root
from words import fenced


def page(notebook: Path) -> str:
    """Return the notebook as Markdown. Cells run in the project's folder, one after the other."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    with at_the_root():
        return "\n".join(_parts(cells, {"__name__": "__main__"}))


def _parts(cells: list[dict[str, Any]], names: dict[str, Any]) -> Iterator[str]:
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield f"{source}\n"
            continue
        yield fenced(source, "python")
        with redirect_stdout(StringIO()) as printed:
            value = _value(source, names)
        if printed.getvalue():
            yield fenced(printed.getvalue())
        if value is not None:
            yield _shown(value)


def _value(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; return the value of its last expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


def _shown(value: Any) -> str:
    """Return a value as the notebook shows it; the whole report stands on a page of its own."""
    html = value._repr_html_() if hasattr(value, "_repr_html_") else ""
    if html.startswith("<iframe"):
        return "The notebook shows [the page of the report](reports/html.md) here.\n"
    return f'<div class="picture" tabindex="0">{" ".join(html.split())}</div>\n' if html else fenced(str(value))
