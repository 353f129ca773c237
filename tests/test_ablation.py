"""What is not recorded is no evidence: with one kind of line taken out, a fault is never cleared and no other one takes its place."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tracekit.pipeline import Engine, analyze
from tracekit.run import Run

pytestmark = pytest.mark.no_cover

SAMPLES = Path(__file__).parent.parent / "sample_traces"
FIRES = sorted(p for p in SAMPLES.glob("*/fires-*") if p.is_dir())
# A return in any layout: `r_alloc: (a+0x1/0x2 <- b) ret=-34`, or the comment of a function graph.
_RETURN = re.compile(r" r_\w+: |<- \w+\)")
_RETVAL = re.compile(r"/\* (?:\w+ )?(?:ret)?=.*?\*/|\bret=\S+ ?")
_ARGUMENTS = re.compile(r"(?: \w+=0x[0-9a-f]+| \b(?:hwsize|index|minvec|maxvec|min|max|count|start)=\S+)+$", re.M)
KINDS: dict[str, Callable[[str], str]] = {
    "returns": lambda text: without(text, _RETURN),
    "return values": lambda text: _RETVAL.sub("", text),
    "handlers": lambda text: without(text, re.compile(r"irq_handler_")),
    "vectors": lambda text: without(text, re.compile(r"\bvector_\w+: ")),
    "matrix": lambda text: without(text, re.compile(r"irq_matrix_")),
    "domains": lambda text: without(text, re.compile(r"msi_create_device_irq_domain|mkdom")),
    "arguments": lambda text: _ARGUMENTS.sub("", text),
    "QEMU": lambda text: without(text, re.compile(r"^\S*vfio_(?:msix|msi|intx)_\w+ \(|qemu-system")),
}
# A part of a recording may lack the fault itself: then another one must not take its place.
PARTS: dict[str, Callable[[list[str]], list[str]]] = {
    "its first third": lambda lines: lines[len(lines) // 3 :],
    "its last third": lambda lines: lines[: len(lines) * 2 // 3],
}


def without(text: str, kind: re.Pattern[str]) -> str:
    """The text without the lines of one kind."""
    return "".join(line for line in text.splitlines(keepends=True) if not kind.search(line))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load()


def alarms(run: Run) -> set[str]:
    """The codes that make the exit status 1."""
    found = (f for f in run.findings if f.grade in ("proven", "probable") and not f.explained_by and f.severity not in ("low", "info"))
    return {f.code for f in found if not f.code.startswith(("CFG", "OBS"))}


@pytest.mark.parametrize("sample", FIRES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_a_fault_is_never_cleared_by_what_is_not_recorded(sample: Path, tmp_path: Path, engine: Engine) -> None:
    expected = tomllib.loads((sample / "expected.toml").read_text(encoding="utf-8"))
    codes = {f["code"] for f in expected["finding"]}
    logs = {p.name: p.read_text(errors="replace") for p in sorted(sample.iterdir()) if p.suffix not in (".toml", ".xz", ".gz", ".dat")}
    if not any(_RETURN.search(t) or _RETVAL.search(t) or "irq_handler_" in t or "vector_" in t for t in logs.values()):
        pytest.skip("no recording")
    whole = _told(logs, tmp_path, engine)
    roots = {f.code for f in whole.findings if f.grade and not f.explained_by} & codes
    for kind, change in KINDS.items():
        changed = {name: change(text) or "\n" for name, text in logs.items()}
        if changed == logs:
            continue
        run = _told(changed, tmp_path, engine)
        cleared = {o.code: o.reason for o in run.outcomes if o.outcome in ("clear", "clear in part") and o.code in roots}
        assert not cleared, f"without {kind}"
        assert alarms(run) <= codes | {"MSI-002"}, f"without {kind}"


@pytest.mark.parametrize("sample", FIRES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_no_other_fault_is_found_in_a_part_of_a_log(sample: Path, tmp_path: Path, engine: Engine) -> None:
    expected = tomllib.loads((sample / "expected.toml").read_text(encoding="utf-8"))
    logs = {p.name: p.read_text(errors="replace") for p in sorted(sample.iterdir()) if p.suffix not in (".toml", ".xz", ".gz", ".dat")}
    for kind, part in PARTS.items():
        changed = {name: "".join(part(text.splitlines(keepends=True))) or "\n" for name, text in logs.items()}
        found = alarms(_told(changed, tmp_path, engine))
        assert found <= {f["code"] for f in expected["finding"]} | {"MSI-002"}, f"without {kind}"


def _told(logs: dict[str, str], folder: Path, engine: Engine) -> Run:
    for name, text in logs.items():
        (folder / name).write_text(text)
    return analyze([str(folder / name) for name in logs], None, engine)
