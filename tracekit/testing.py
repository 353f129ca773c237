"""Test plugins: log text in, tables and findings out; check samples against their expected findings."""

import os
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import ndiff
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from tracekit.diagnosing.diagnoses import Diagnosis
from tracekit.errors import nearest
from tracekit.findings import Evidence, Finding, Outcome
from tracekit.pipeline import Engine, Options, analyze, read
from tracekit.plugins.loose import VARIABLE
from tracekit.reading.source import discover
from tracekit.replay.model import Model, replay
from tracekit.run import Run

EXPECTED = "expected.toml"
KEYS = frozenset({"origin", "releases", "sides", "clocks", "not_understood", "not_evaluated", "rows", "reports", "finding"})


def engine(*keep_tables: str) -> Engine:
    """Return an engine for many analyses: it is loaded once for each `sys.path` and TRACEKIT_PLUGINS, since plugins are found there."""
    return _loaded(keep_tables, (*sys.path, os.environ.get(VARIABLE, "")))


@lru_cache(maxsize=4)
def _loaded(keep_tables: tuple[str, ...], _path: tuple[str, ...]) -> Engine:
    return Engine.load(keep_tables)


def run(*texts: str, **named: str) -> Run:
    """Analyze the texts as one case and return the run. Sources are called `a.log`, `b.log`, ... or, for keywords, by their name."""
    files = {f"{chr(97 + i)}.log": t for i, t in enumerate(texts)} | named
    with tempfile.TemporaryDirectory() as folder:
        return analyze([_write(folder, n, t) for n, t in files.items()], Options(keep_tables=("*",)), engine("*"))


def tables(*texts: str, **named: str) -> dict[str, pl.DataFrame]:
    """Return all tables of the texts as one case: event tables and model tables."""
    files = {f"{chr(97 + i)}.log": t for i, t in enumerate(texts)} | named
    with tempfile.TemporaryDirectory() as folder:
        sources, _ = discover([_write(folder, n, t) for n, t in files.items()])
        return read(sources, engine("*").fresh(), Options(keep_tables=("*",)), [])[0]


def findings(*texts: str, **named: str) -> list[Finding]:
    """Return the findings of the texts as one case, without OBS-001."""
    return [f for f in run(*texts, **named).findings if f.code != "OBS-001"]


def outcome(result: Run, code: str) -> Outcome:
    """Return the outcome of one diagnosis in a run."""
    return next(o for o in result.outcomes if o.code == code)


def play(model: type[Model], frames: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Replay one model over tables of the test's own, as one stream; raise its errors."""

    def failed(_: type[Model], error: BaseException) -> None:
        raise error

    paths = sorted({s for f in frames.values() for s in f["source"].to_list()})
    streams = pl.DataFrame(
        [(p, 0, False) for p in paths], schema={"source": pl.String, "stream": pl.Int64, "merged": pl.Boolean}, orient="row"
    )
    return replay([model], frames, streams, failed)


def shape(found: Sequence[Finding]) -> list[tuple[str, str | None, str, str | None, list[int]]]:
    """Return what tests compare: (code, grade, subject, explained_by, evidence lines in order)."""
    return [(f.code, f.grade, f.subject.label, f.explained_by, [e.line for e in f.evidence]) for f in found]


def samples(folder: Path) -> list[Path]:
    """Return the cases of a samples folder: `<diagnosis>/fires-*` and `<diagnosis>/quiet-*`, folders of logs and an `expected.toml`."""
    return sorted(p for p in folder.glob("*/*") if p.is_dir() and p.name != "__pycache__")


def unsampled(folder: Path, diagnoses: Iterable[Diagnosis]) -> dict[str, list[str]]:
    """Return the kinds of sample (`fires`, `quiet`) that each diagnosis lacks, by its name; those with both are left out."""
    given = {d.name: {c.name.partition("-")[0] for c in samples(folder) if c.parent.name == d.name} for d in diagnoses}
    return {name: sorted({"fires", "quiet"} - kinds) for name, kinds in given.items() if not {"fires", "quiet"} <= kinds}


def expected(case: Path) -> dict[str, Any]:
    """Return the content of a case's `expected.toml`. AssertionError where it is missing, has an unknown key, or names no origin."""
    path = case / EXPECTED
    assert path.is_file(), f"{case} has no {EXPECTED}: `tracekit expect {case}` prints one"
    told = tomllib.loads(path.read_text(encoding="utf-8"))
    assert set(told) <= KEYS, f"{path}: unknown keys {sorted(set(told) - KEYS)}; known are {sorted(KEYS)}"
    assert told.get("origin") and told.get("releases"), f"{path}: say where it is from (origin) and of which releases"
    return told


def check_sample(case: Path) -> None:
    """Analyze a case and compare its findings whole: codes, grades, subjects, evidence lines. AssertionError where they differ.

    A case `fires-*` must have a finding of the diagnosis that its folder is named after, a case `quiet-*` none; the classes of the lines
    of every source must add up, and nothing may go wrong on the way.
    """
    want = expected(case)
    assert case.name.startswith(("fires-", "quiet-")), f"{case}: the names of cases begin with fires- or quiet-"
    result, found = _analyzed(case, want)
    assert result.errors == (), result.errors
    assert found == want.get("finding", []), f"{case}: read what `tracekit expect {case}` prints\n{found}\n!=\n{want.get('finding', [])}"
    fired = case.parent.name in {f.name for f in result.findings}
    assert fired == case.name.startswith("fires-"), f"{case}: {case.parent.name} {'is' if fired else 'is not'} found"
    for source in result.sources:
        assert sum(source.classes.values()) == source.lines, source.path
    not_understood = [n for s in result.sources for n in s.not_understood]
    assert sum(n.count for n in not_understood) == want.get("not_understood", 0), not_understood
    assert (told := list(_unlike(result, want))) == [], "\n".join(told)


def differences(case: Path) -> list[str]:
    """Return what keeps a sample from passing, a line each: `- ` what is expected and missing, `+ ` what is found besides; nothing where it
    passes.

    Where `check_sample` stops at the first difference this names all. A quiet sample whose diagnosis was not evaluated proves nothing and
    fails too, unless its `expected.toml` says `not_evaluated = true`: the point is that its lines are not read as others.
    """
    try:
        want = expected(case)
    except (AssertionError, ValueError) as e:
        return [str(e)]
    result, found = _analyzed(case, want)
    told = [f"error: {e}" for e in result.errors]
    wanted = want.get("finding", [])
    if found != wanted:
        told += [d for d in ndiff(_lines(wanted), _lines(found)) if d[:2] in ("- ", "+ ")] or ["the same findings in another order"]
    if (count := sum(n.count for s in result.sources for n in s.not_understood)) != want.get("not_understood", 0):
        told.append(f"not_understood: {want.get('not_understood', 0)} expected, {count} found")
    told += _unlike(result, want)
    return told + list(_unproven(case, result, bool(want.get("not_evaluated"))))


def _unlike(result: Run, want: Mapping[str, Any]) -> Iterator[str]:
    """Yield which tables have other numbers of rows than `[rows]` says, and how reports differ from the texts of `[reports]`."""
    for name, count in want.get("rows", {}).items():
        if name not in result.tables:
            yield f"rows: no table is called {name}{nearest(name, list(result.tables))}"
        elif (found := result.tables[name].height) != count:
            yield f"rows: {name} has {found}, {count} expected"
    for name, text in want.get("reports", {}).items():
        yield from (d for d in ndiff(text.splitlines(), _reported(result, name).splitlines()) if d[:2] in ("- ", "+ "))


def _reported(result: Run, name: str) -> str:
    """Return a report by the name that `--format` takes. AssertionError where there is none, or it is no text."""
    known = {r.name: r for r in engine().registry.reports}
    assert name in known, f"no report is called {name}{nearest(name, known)}"
    text = known[name]().write(result, {})
    assert isinstance(text, str), f"the report {name} is no text"
    return text


def _unproven(case: Path, result: Run, allowed: bool) -> Iterator[str]:
    """Yield why the name of a case promises more than it shows."""
    name, kind = case.parent.name, case.name.partition("-")[0]
    fired = name in {f.name for f in result.findings}
    if kind in ("fires", "quiet") and fired != (kind == "fires"):
        yield f"{name} is {'' if fired else 'not '}found in a case called {case.name}"
    of = next((o for o in result.outcomes if o.name == name), None)
    if kind == "quiet" and of is not None and (of.outcome == "not evaluated") != allowed:
        yield f"not_evaluated = true, but {name} is {of.outcome}" if allowed else f"quiet only since {name} was not evaluated: {of.reason}"
    if kind in ("fires", "quiet") and of is None:
        yield f"no diagnosis is called {name}{nearest(name, [o.name for o in result.outcomes])}"


def _lines(findings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return findings as lines that can be compared: the finding, then each piece of evidence with its code before it."""
    told = []
    for f in findings:
        cause = f", explained by {f['explained_by']}" if "explained_by" in f else ""
        told.append(f"{f.get('code')} {f.get('grade', 'information')} on {f.get('subject')}{cause}")
        told += [f"{f.get('code')} {place}" for place in f.get("evidence", ())]
    return told


def expected_now(case: Path) -> str:
    """Return the `expected.toml` that a case would need now, its `origin` and `releases` unchanged. Read it before you keep it."""
    path = case / EXPECTED
    told = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    result, found = _analyzed(case, told)
    text = f"origin = {_quoted(told.get('origin', ''))}\nreleases = [{', '.join(map(_quoted, told.get('releases', [])))}]\n"
    if count := sum(n.count for s in result.sources for n in s.not_understood):
        text += f"not_understood = {count}\n"
    if told.get("not_evaluated"):
        text += "not_evaluated = true\n"
    if told.get("sides"):
        text += "\n[sides]\n" + "".join(f"{_quoted(k)} = {_quoted(v)}\n" for k, v in told["sides"].items())
    if told.get("clocks"):
        text += "\n[clocks]\n" + "".join(f"{_quoted(k)} = {v}\n" for k, v in told["clocks"].items())
    if told.get("rows"):
        text += "\n[rows]\n" + "".join(f"{n} = {result.tables[n].height}\n" for n in told["rows"] if n in result.tables)
    if told.get("reports"):
        text += "\n[reports]\n" + "".join(f"{n} = {_quoted(_reported(result, n))}\n" for n in told["reports"])
    return text + "".join(map(_finding_as_toml, found))


def _finding_as_toml(finding: Mapping[str, Any]) -> str:
    lines = "".join(f"    {_quoted(e)},\n" for e in finding["evidence"])
    scalars = {k: v for k, v in finding.items() if k not in ("evidence", "explained_by")}
    last = f"explained_by = {_quoted(finding['explained_by'])}\n" if "explained_by" in finding else ""
    return "\n[[finding]]\n" + "".join(f"{k} = {_quoted(v)}\n" for k, v in scalars.items()) + f"evidence = [\n{lines}]\n{last}"


def _quoted(text: str) -> str:
    """Return a text as a basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" if ord(c) < 0x10000 else f"\\U{ord(c):08X}" for c in escaped) + '"'


def _analyzed(case: Path, told: Mapping[str, Any]) -> tuple[Run, list[dict[str, Any]]]:
    """Analyze all logs of a case with the sides and clocks (in ns) of its `expected.toml`; return the run and its findings as that file."""
    files = sorted(str(p) for p in case.rglob("*") if p.is_file() and p.name != EXPECTED)
    sides, clocks = ({str(case / name): value for name, value in told.get(key, {}).items()} for key in ("sides", "clocks"))
    kept = tuple(told.get("rows", {}))
    result = analyze(files, Options(sides=sides, clocks=clocks, keep_tables=("*",) if kept else ()), engine(*kept))
    return result, [_told(f, case) for f in result.findings if f.code != "OBS-001"]


def _told(f: Finding, case: Path) -> dict[str, Any]:
    shown = {"code": f.code, "grade": f.grade, "subject": f.subject.label, "explained_by": f.explained_by}
    return {k: v for k, v in shown.items() if v is not None} | {"evidence": [_place(e, case) for e in f.evidence]}


def _place(e: Evidence, case: Path) -> str:
    """Return a place as `trace.txt:18-21 cause`."""
    end = f"-{e.line_end}" if e.line_end not in (None, e.line) else ""
    return f"{Path(e.source).relative_to(case)}:{e.line}{end} {e.role}"


def _write(folder: str, name: str, text: str) -> str:
    path = Path(folder) / name
    path.write_text(text, encoding="utf-8")
    return str(path)


__all__ = [
    *("check_sample", "differences", "engine", "expected", "expected_now", "findings", "outcome", "play"),
    *("run", "samples", "shape", "tables", "unsampled"),
]
