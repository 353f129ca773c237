"""Numbers that no machine has: a line that holds one costs its own row, and never a model or a diagnosis."""

import re
import runpy
from pathlib import Path

import pytest

from tracekit.testing import run

HERE = Path(__file__).parent
LINES = [
    line
    for place in ("irq/test_irq_lines", "vfio/test_vfio_lines", "xen/test_xen_lines")
    for line in runpy.run_path(str(HERE / f"{place}.py"))["LINES"].values()
]


def absurd(line: str, decimal: str, hexadecimal: str) -> str:
    """The line with its numbers, those of addresses left out, as large as they can be written."""
    line = re.sub(r"0x[0-9a-f]+", f"0x{hexadecimal}", line)
    return re.sub(r"(?<![0-9a-zA-Z:.])[0-9]+(?![0-9a-zA-Z:.])", decimal, line)


@pytest.mark.parametrize("head", ["[{:5d}.000000] ", "(XEN) ", "   task-1 [000] ..... {:5d}.000000: ", ""])
@pytest.mark.parametrize(
    ("decimal", "hexadecimal"), [("9" * 18, "f" * 16), (str(2**64 - 1), "f" * 16), ("9" * 30, "f" * 20)], ids=["18", "64-bit", "30"]
)
def test_no_model_and_no_diagnosis_raises(head: str, decimal: str, hexadecimal: str) -> None:
    text = "".join(f"{head.format(i + 1)}{absurd(line, decimal, hexadecimal)}\n" for i, line in enumerate(LINES))
    assert run(text).errors == ()
