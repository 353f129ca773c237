"""A plugin in one file to begin with, and a sample of it: the texts that `tracekit new grammar`, `model`, `report` and `plugin` write."""

import re
from collections.abc import Mapping, Sequence
from keyword import iskeyword
from pathlib import Path

from tracekit.cli.scaffold import code_of, written
from tracekit.errors import UsageError
from tracekit.plugins.isolation import Isolation
from tracekit.plugins.registry import load

NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")


def write(kind: str, name: str, folder: Path | None = None) -> Path:
    """Write a plugin with one part of a kind, or for `plugin` with each, and its sample. Errors: UsageError. Returns the folder."""
    if NAME.fullmatch(name) is None or iskeyword(name):
        raise UsageError(f"{name} is no name of a plugin: give small letters, digits and _, as in acme")
    if kind in ("report", "plugin") and name in {r.name for r in load(isolation=Isolation()).reports}:
        raise UsageError(f"{name} is a report already: choose another name")
    family = name.replace("_", "")
    code = code_of(f"{family}.stuck", family, None) if kind == "plugin" else ""
    words = {"name": name, "family": family, "title": name.title().replace("_", ""), "code": code}
    return written(files(kind), words, folder or Path(name))


def files(kind: str) -> Mapping[str, str]:
    """Return the files of a kind, by path; both are templates."""
    parts = {"grammar": (GRAMMAR,), "model": (GRAMMAR, MODEL), "report": (REPORT,), "plugin": (GRAMMAR, MODEL, DIAGNOSIS, REPORT)}[kind]
    head = "\n".join(filter(None, [f'"""{TITLE[kind]}"""\n', _imports(parts), '__version__ = "0.1"\n']))
    code = {"$name.py": head + "".join(parts)}
    if kind == "plugin":
        of = "sample_traces/$family.stuck"
        fires = {
            f"{of}/fires-stuck/dmesg.txt": STUCK,
            f"{of}/fires-stuck/expected.toml": ORIGIN + STUCK_ROWS + STUCK_REPORT + STUCK_FINDING,
        }
        return {**code, **fires, f"{of}/quiet-moved/dmesg.txt": MOVED, f"{of}/quiet-moved/expected.toml": ORIGIN + MOVED_ROWS}
    log, told = {
        "grammar": (MOVED, ORIGIN + "\n[rows]\n${name}_stuck = 1\n${name}_moved = 1\n"),
        "model": (MOVED, ORIGIN + MOVED_ROWS),
        "report": (FAULT, ORIGIN + FAULT_REPORT + FAULT_FINDING),
    }[kind]
    of = f"sample_traces/$name/reads-a-{'fault' if kind == 'report' else 'ring'}"
    return {**code, f"{of}/dmesg.txt": log, f"{of}/expected.toml": told}


def _imports(parts: Sequence[str]) -> str:
    """Return the lines that import what some parts name: the standard library's, then others."""
    named = {module: sorted({n for part in parts for n in NAMES[part].get(module, ())}) for module in MODULES}
    lines = {module: f"from {module} import {', '.join(names)}\n" for module, names in named.items() if names and module != "polars"}
    standard = "".join(line for module, line in lines.items() if module != "tracekit")
    others = [*(["import polars as pl\n"] if named["polars"] else []), *([lines["tracekit"]] if "tracekit" in lines else [])]
    return "\n".join(filter(None, [standard, "".join(others)]))


MODULES = ("collections.abc", "typing", "polars", "tracekit")
TITLE = {
    "grammar": "What the log of $name says: one rule a message.",
    "model": "Rings of $name over time.",
    "report": "One line a finding.",
    "plugin": "What the log of $name says, what it means, what is wrong, and a report of it.",
}
GRAMMAR = '''\
GRAMMAR = """
// Messages of $name: one rule a message, its name is the table, its field rules are the columns.
%import .common (BDF, DEC)

start: ${name}_stuck | ${name}_moved

// A ring made no progress: the file and function that print it; since which release.
${name}_stuck: "$name " bdf ": ring " ring " made no progress for " ms " ms"

// The ring moves again: the file and function that print it; since which release.
${name}_moved: "$name " bdf ": ring " ring " moves again"

bdf: BDF
ring: DEC // Number of the ring.
ms: DEC // How long it made no progress. [ms]
"""
'''
MODEL = '''\
RINGS = Table(
    "${name}_rings",
    "A ring that stood still, until it moves again.",
    (
        Column("bdf", pl.String()),
        Column("ring", pl.Int64(), "Number of the ring."),
        Column("moved", pl.Boolean(), "Whether it moved again."),
    ),
)


class ${title}Rings(Model):
    """Pair a ring that stands still with the message that it moves again."""

    tables: ClassVar[tuple[Table, ...]] = (RINGS,)

    def __init__(self) -> None:
        super().__init__()
        self.stuck: dict[tuple[str, int], Row] = {}

    def on_${name}_stuck(self, e: Row) -> None:
        self.stuck[e.bdf, e.ring] = e

    def on_${name}_moved(self, e: Row) -> None:
        if (stuck := self.stuck.pop((e.bdf, e.ring), None)) is not None:
            self.emit("${name}_rings", stuck, bdf=e.bdf, ring=e.ring, moved=True, ts_end=e.ts, line_end=e.line)

    def on_end(self) -> None:
        for stuck in self.stuck.values():
            self.emit("${name}_rings", stuck, bdf=stuck.bdf, ring=stuck.ring, moved=False)
'''
DIAGNOSIS = '''\


@diagnosis("$family.stuck", code="$code", severity="high", record="dmesg of the machine that has the device")
def stuck(${name}_rings: pl.DataFrame) -> Iterator[Finding | Verdict]:
    """A ring of the device stands still.

    What it finds: the message about a ring that made no progress, with the device and the ring (proven: the driver saw it).
    Why it matters: what waits for that ring waits for ever.
    Stays quiet when: a later message says that the ring moves again.
    Affected: every release that prints the message.
    What to do: reset the device, and look for what took its interrupt away.
    References: the file and function that print the message.
    """
    for e in ${name}_rings.filter(~pl.col("moved")).iter_rows(named=True):
        yield Finding(
            f"ring {e['ring']} of {e['bdf']} stands still",
            "proven",
            (Evidence(e["source"], e["line"], "cause"),),
            Subject(e["bdf"], bdf=e["bdf"]),
            advice="Reset the device.",
        )
'''
REPORT = '''\


class ${title}Report:
    """`--format $name`: one line a finding."""

    name = "$name"

    def write(self, run: Run, options: Mapping[str, Any]) -> str:
        """Return the whole report; `options`: width (columns), color, full."""
        return "".join(f"{f.code} {f.subject.label}: {visible(f.summary)}\\n" for f in run.findings if f.grade)
'''
NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    GRAMMAR: {},
    MODEL: {"typing": ("ClassVar",), "polars": ("pl",), "tracekit": ("Column", "Model", "Row", "Table")},
    DIAGNOSIS: {
        "collections.abc": ("Iterator",),
        "polars": ("pl",),
        "tracekit": ("Evidence", "Finding", "Subject", "Verdict", "diagnosis"),
    },
    REPORT: {"collections.abc": ("Mapping",), "typing": ("Any",), "tracekit": ("Run", "visible")},
}
ORIGIN = 'origin = "written by hand after the messages; replace it by a recording"\nreleases = ["Linux 6.12"]\n'
STUCK = """\
[    1.000000] Linux version 6.12.0 (builder) #1 SMP
[   12.500000] $name 0000:03:00.0: ring 2 made no progress for 5000 ms
"""
MOVED = STUCK + "[   12.750000] $name 0000:03:00.0: ring 2 moves again\n"
STUCK_ROWS = "\n[rows]\n${name}_rings = 1\n"
MOVED_ROWS = "\n[rows]\n${name}_stuck = 1\n${name}_rings = 1\n"
STUCK_REPORT = '\n[reports]\n$name = """\n$code 0000:03:00.0: ring 2 of 0000:03:00.0 stands still\n"""\n'
STUCK_FINDING = '\n[[finding]]\ncode = "$code"\ngrade = "proven"\nsubject = "0000:03:00.0"\nevidence = ["dmesg.txt:2 cause"]\n'
FAULT = """\
[    0.000000] Linux version 6.12.0 (builder) #1 SMP
[  100.000000] DMAR: DRHD: handling fault status reg 2
[  100.000001] DMAR: [INTR-REMAP] Request device [03:00.0] fault index 0x3000 [fault reason 0x22] Present field in the IRTE entry is clear
"""
FAULT_REPORT = """
[reports]
$name = '''
IRQ-003 0000:03:00.0: the IOMMU refused 1 interrupt message of 0000:03:00.0 at index 0x3000: entry not present (0x22)
'''
"""
FAULT_FINDING = """
[[finding]]
code = "IRQ-003"
grade = "proven"
subject = "0000:03:00.0"
evidence = ["dmesg.txt:2 context", "dmesg.txt:3 cause"]
"""
