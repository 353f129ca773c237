"""docs/tutorial.ipynb is run cell by cell, as a notebook runs it, and what its cells show is what its text says of them."""

import ast
import json
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
BOOK = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in BOOK["cells"] if cell["cell_type"] == "code"]


def shown(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell; return what a notebook shows below it: the value of its last expression."""
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


@pytest.fixture(params=["docs", "."])
def told(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str]]:
    """What each cell shows and prints, run in a folder from which the samples are found."""
    names: dict[str, Any] = {"__name__": "__main__"}
    monkeypatch.chdir(ROOT / request.param)
    done = []
    for cell in CODE:
        with redirect_stdout(StringIO()) as out:
            done.append((shown(cell, names), out.getvalue()))
    return done


def test_it_is_a_notebook_without_outputs() -> None:
    assert (BOOK["nbformat"], BOOK["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in BOOK["cells"]}) == len(BOOK["cells"])
    for cell in BOOK["cells"]:
        wanted = {"cell_type", "id", "metadata", "source"} | ({"outputs", "execution_count"} if cell["cell_type"] == "code" else set())
        assert cell.keys() == wanted and cell.get("outputs", []) == []


def test_its_cells_show_what_their_text_says(told: list[tuple[Any, str]]) -> None:
    values, prints = zip(*told, strict=True)
    lines, finding, picture, grade, page, windows, gap, open_, healthy, run = range(10)
    assert "vfio_pci_set_irqs_ioctl" in prints[lines]
    assert "<b>VFIO-002</b> vfio.resize-window (proven; 0000:00:08.0)" in values[finding]._repr_html_()
    assert values[picture]._repr_html_().startswith("<svg ")
    assert prints[grade].startswith("proven True\n") and "QEMU 8.2" in prints[grade]
    assert "What it finds:" in prints[page]
    assert values[windows].rows() == [(32, 53, 1, 4, 316152000, 315198000, 305389000)]
    assert prints[gap] == "571 ms between two interrupts, 316 ms of them in the window at most\n"
    assert re.search(r"^VFIO-001 vfio\.lost-on-resize: .* To record: ", prints[open_], re.M)
    assert prints[healthy] == "[] ()\n"
    assert values[run]._repr_html_().startswith("<iframe srcdoc=")
