"""A plugin to begin with: a package whose one diagnosis, grammar, samples and test work as they are written."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from itertools import count
from keyword import iskeyword
from pathlib import Path
from string import Template

from tracekit.errors import UsageError

NAME = re.compile(r"([a-z][a-z0-9]*)\.([a-z][a-z0-9]*(?:-[a-z0-9]+)*)")
CODE = re.compile(r"[A-Z][A-Z0-9]*-[0-9]{3}")


def write(name: str, code: str | None = None, folder: Path | None = None) -> Path:
    """Write the package of a diagnosis into a folder that is not there yet or is empty. Errors: UsageError. Returns the folder."""
    m = NAME.fullmatch(name)
    module = m[2].replace("-", "_") if m else ""
    if m is None or iskeyword(module) or module == "pl":
        raise UsageError(f"{name} is no name of a diagnosis: give family.slug in lower case, as in acme.ring-stuck")
    family = m[1]
    package = f"tracekit_{family}" if find_spec(f"tracekit_{family}") is None else f"tracekit_{family}_{module}"
    words = {"name": name, "code": code_of(name, family, code), "family": family, "slug": m[2], "module": module, "package": package}
    words |= {"project": package.replace("_", "-"), "table": f"{family}_{module}"}
    return written(FILES, words, folder or Path(words["project"]))


def written(files: Mapping[str, str], words: Mapping[str, str], folder: Path) -> Path:
    """Write files into a folder that is not there yet or is empty; their paths and texts are templates. Errors: UsageError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already: name another with --output")
    try:
        for path, text in files.items():
            target = folder / Template(path).substitute(words)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(Template(text).substitute(words), encoding="utf-8")
    except OSError as e:
        raise UsageError(f"cannot write {e.filename}: {e.strerror}") from e
    return folder


def code_of(name: str, family: str, code: str | None) -> str:
    """The code asked for, else the first free one of the family. Errors: UsageError where it or the name is taken."""
    from tracekit.plugins import registry as plugins
    from tracekit.plugins.isolation import Isolation

    diagnoses = plugins.load(isolation=Isolation()).diagnoses
    taken = {d.code for d in diagnoses}
    code = code or next(c for n in count(1) if (c := f"{family.upper()}-{n:03}") not in taken)
    if CODE.fullmatch(code) is None:
        raise UsageError(f"--code {code}: give capitals, a hyphen and three digits, as in ACME-001")
    if name in {d.name for d in diagnoses} or code in taken:
        raise UsageError(f"{code if code in taken else name} is there already: choose another")
    return code


FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=65"]
build-backend = "setuptools.build_meta"

[project]
name = "$project"
version = "0.1.0"
description = "Diagnoses of $family for tracekit."
requires-python = ">=3.11"
dependencies = ["tracekit"]

[project.optional-dependencies]
test = ["pytest"]

[project.entry-points.tracekit]
$package = "$package"

[tool.setuptools]
packages = ["$package"]

[tool.setuptools.package-data]
$package = ["grammars/**/*.lark"]

[tool.pytest.ini_options]
testpaths = ["tests"]
""",
    "$package/__init__.py": '''\
"""What $family's logs tell: hooks of tracekit, called without arguments."""

from pathlib import Path

from tracekit import Diagnosis, hookimpl


@hookimpl
def tracekit_grammars() -> list[Path]:
    """The folder of the grammars."""
    return [Path(__file__).parent / "grammars"]


@hookimpl
def tracekit_diagnoses() -> list[Diagnosis]:
    """The diagnoses."""
    from $package.$module import $module

    return [$module]
''',
    "$package/$module.py": '''\
"""$code: a ring of the device made no progress."""

from collections.abc import Iterator

import polars as pl

from tracekit import Evidence, Finding, Subject, Verdict, diagnosis


@diagnosis("$name", code="$code", severity="high", record="dmesg of the machine that has the device")
def $module(
    $table: pl.DataFrame, ${table}_over: pl.DataFrame | None = None
) -> Iterator[Finding | Verdict]:
    """The driver says that a ring of its device made no progress.

    What it finds: the driver's message about a ring that made no progress, with the device and the ring (proven: the driver saw it).
    Why it matters: what waits for that ring waits for ever.
    Stays quiet when: a later message of the same source says that the ring recovered.
    Affected: every release of the driver that prints it.
    What to do: reset the device, and look for what took its interrupt away.
    References: the driver's file and function that print the message.
    """
    for e in $table.iter_rows(named=True):
        if not _recovered(e, ${table}_over):
            yield Finding(
                f"ring {e['ring']} of {e['bdf']} made no progress for {e['ms']} ms",
                "proven",
                (Evidence(e["source"], e["line"], "cause"),),
                Subject(e["bdf"], bdf=e["bdf"]),
                advice="Reset the device.",
                values={"ring": e["ring"], "ms": e["ms"]},
            )


def _recovered(stuck: dict[str, object], recovered: pl.DataFrame | None) -> bool:
    """Whether the ring moved again later in the same source."""
    if recovered is None:
        return False
    same = (pl.col(c) == stuck[c] for c in ("source", "bdf", "ring"))
    return not recovered.filter(*same, pl.col("line") > stuck["line"]).is_empty()
''',
    "$package/grammars/events/$family.lark": """\
// Messages of the $family driver: one rule a message, its name is the table, its field rules are the columns.
// Comments are printed by `tracekit schema`; settings are marks, `//! name: value` above a rule (tracekit's docs/plugins.md, Marks).

%import .common (BDF, DEC)

start: $table | ${table}_over

// A ring made no progress: $family driver, the function that prints it; since which release.
$table: "$family " bdf ": $slug: ring " ring " made no progress for " ms " ms"

// The ring moves again: $family driver, the function that prints it; since which release.
${table}_over: "$family " bdf ": $slug: ring " ring " moves again"

bdf: BDF
ring: DEC // Number of the ring.
ms: DEC // How long it made no progress. [ms]
""",
    "sample_traces/$name/fires-stuck/dmesg.txt": """\
[    1.000000] Linux version 6.12.0 (builder) #1 SMP
[   12.500000] $family 0000:03:00.0: $slug: ring 2 made no progress for 5000 ms
""",
    "sample_traces/$name/fires-stuck/expected.toml": """\
origin = "written by hand after the driver's messages; replace it by a recording"
releases = ["Linux 6.12"]

[[finding]]
code = "$code"
grade = "proven"
subject = "0000:03:00.0"
evidence = ["dmesg.txt:2 cause"]
""",
    "sample_traces/$name/quiet-recovered/dmesg.txt": """\
[    1.000000] Linux version 6.12.0 (builder) #1 SMP
[   12.500000] $family 0000:03:00.0: $slug: ring 2 made no progress for 5000 ms
[   12.750000] $family 0000:03:00.0: $slug: ring 2 moves again
""",
    "sample_traces/$name/quiet-recovered/expected.toml": """\
origin = "written by hand after the driver's messages; replace it by a recording"
releases = ["Linux 6.12"]
""",
    "tests/test_samples.py": '''\
"""Every sample gives the findings that its expected.toml tells, whole; every diagnosis fires in one and stays quiet in another."""

from pathlib import Path

import pytest

from $package import tracekit_diagnoses
from tracekit.testing import check_sample, samples, unsampled

SAMPLES = Path(__file__).parent.parent / "sample_traces"


@pytest.mark.parametrize("case", samples(SAMPLES), ids=lambda case: f"{case.parent.name}/{case.name}")
def test_sample(case: Path) -> None:
    check_sample(case)


def test_every_diagnosis_fires_in_a_sample_and_stays_quiet_in_another() -> None:
    assert unsampled(SAMPLES, tracekit_diagnoses()) == {}
''',
}
