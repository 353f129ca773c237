"""Recorded logs whose truth `captures.toml` tells: where they are, which files are inputs, and copies without the tests' own words."""

import os
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GIVEN = Path(os.environ.get("TRACEKIT_CAPTURES") or HERE.parent.parent / "shared" / "captures")
TRUTH: dict[str, dict[str, dict[str, Any]]] = tomllib.loads((HERE / "captures.toml").read_text(encoding="utf-8"))

NARRATION = re.compile(
    rb"tracing_mark_write:|\bprint:|\bbprint:|\bbputs:|device management|\] corrupt \d|\] restored|PF gives"
    rb"|/\* [^=]*(vfioirq|SET_IRQS|GET_IRQ_INFO|rang |counts |growing|window|MSI-X cap|doorbell|virt-mgmt|DEVICE_RESET)"
)
NO_INPUT = re.compile(
    r"README\.md|events-of-interest\.md|kprobe_events\.txt|prog(-.*|\.txt)|session1\.txt|virt-mgmt\.txt|[A-F](-s[12])?\.txt"
)


def place(folder: str) -> Path:
    """Where a folder lies: among the recordings given, or the later ones beside them (`captures`, `captures2`)."""
    return next((root / folder for root in (GIVEN, GIVEN.with_name(f"{GIVEN.name}2")) if (root / folder).is_dir()), GIVEN / folder)


def inputs(folder: str) -> list[str]:
    """The files of a folder that were recorded from a machine, not written by the test."""
    return sorted(p.name for p in place(folder).glob("*") if not NO_INPUT.fullmatch(p.name))


def parts(folder: str, case: str) -> list[str]:
    """The files of a case: `*` is the whole folder, `a + b` two of it."""
    return inputs(folder) if case == "*" else case.split(" + ")


def cases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(folder, case, truth): each file alone, named or not, then the cases of several files."""
    for folder, named in TRUTH.items():
        alone = inputs(folder)
        if GIVEN.is_dir() and not alone:
            continue
        yield from ((folder, case, named.get(case, {"found": []})) for case in [*alone, *(c for c in named if c not in alone)])


def blanked(folder: str, name: str, to: Path, change: Callable[[bytes], bytes] | None = None) -> str:
    """The path of a copy with the narration blanked, so that line numbers stay; `change` alters the copy further."""
    path = to / folder / (name if change is None else f"changed-{name}")
    if path.exists() and change is None:
        return str(path)
    data = (place(folder) / name).read_bytes()
    if not name.endswith(".dat"):
        data = b"".join(b"\n" if NARRATION.search(line) else line for line in data.splitlines(keepends=True))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(change(data) if change else data)
    return str(path)
