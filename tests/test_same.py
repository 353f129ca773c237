"""How a log is handed over changes nothing: sizes of chunks, order of the files, packed or not, a pipe, one worker or two, each line twice."""

import io
import lzma
import os
import tarfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tracekit.batch import run as batch
from tracekit.batch.cases import case as batch_case
from tracekit.batch.results import Results
from tracekit.pipeline import Engine, Options, analyze
from tracekit.reading import source
from tracekit.reading.spool import spool
from tracekit.testing import samples

pytestmark = pytest.mark.no_cover

CASES = [c for c in samples(Path(__file__).parent.parent / "sample_traces") if c.name.startswith("fires-")]
Told = list[tuple[object, ...]]
Way = Callable[["Case", Path], dict[str, str]]


class Case:
    """A sample: its logs, and its sides and clocks by their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != "expected.toml")
        told = tomllib.loads((folder / "expected.toml").read_text(encoding="utf-8"))
        self.sides, self.clocks = told.get("sides", {}), told.get("clocks", {})

    def findings(self, engine: Engine, places: dict[str, str], paths: list[str] | None = None) -> Told:
        """The findings whole, each place by the name of its log. `places`: where a log is, by its name, as a source."""
        sides, clocks = ({places[n]: value for n, value in given.items()} for given in (self.sides, self.clocks))
        run = analyze(paths or list(places.values()), Options(sides=sides, clocks=clocks), engine)
        name = {place: n for n, place in places.items()}
        return sorted(
            (
                f.code,
                f.grade or "",
                f.subject.label,
                f.explained_by or "",
                *((name[e.source], e.line, e.line_end, e.role, e.text) for e in f.evidence),
            )
            for f in run.findings
        )


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load()


def xz(case: Case, folder: Path) -> dict[str, str]:
    for n in case.names:
        (folder / "xz" / n).parent.mkdir(parents=True, exist_ok=True)
        (folder / "xz" / f"{n}.xz").write_bytes(lzma.compress((case.folder / n).read_bytes(), preset=0))
    return {n: str(folder / "xz" / f"{n}.xz") for n in case.names}


def tar(case: Case, archive: Path) -> dict[str, str]:
    with tarfile.open(archive, "w:gz", compresslevel=1) as out:
        for n in case.names:
            info = tarfile.TarInfo(n)
            info.size = (case.folder / n).stat().st_size
            out.addfile(info, io.BytesIO((case.folder / n).read_bytes()))
    return {n: f"{archive}!{n}" for n in case.names}


@pytest.mark.parametrize("folder", CASES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_the_same_findings_however_a_sample_is_handed_over(
    folder: Path, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(folder)
    here = {n: str(folder / n) for n in case.names}
    wanted = case.findings(engine, here)
    found = {"xz": case.findings(engine, xz(case, tmp_path))}
    archive = tmp_path / "case.tgz"
    found["archive"] = case.findings(engine, tar(case, archive), [str(archive)])
    if len(case.names) > 1:
        found["order"] = case.findings(engine, dict(reversed(here.items())))
    else:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        feeder = os.open(pipe, os.O_RDWR)
        data = Path(here[case.names[0]]).read_bytes()
        if len(data) < 60_000:  # what a pipe holds
            os.write(feeder, data)
            monkeypatch.setattr(source, "spool_file", lambda path: closing(path, feeder))
            found["pipe"] = case.findings(engine, {case.names[0]: str(pipe)})
    with monkeypatch.context() as patch:
        patch.setattr(source.Source.chunks, "__defaults__", (2000,))
        patch.setattr(source, "SMALL", -1)
        found["chunks"] = case.findings(engine, here)
    assert {way: told for way, told in found.items() if told != wanted} == {}


def closing(path: str, feeder: int) -> str:
    """Spool a pipe whose other end is closed once it is open on this side."""
    with open(path, "rb") as stream:
        os.close(feeder)
        return spool(stream)


def test_one_worker_and_two_write_the_same_results(tmp_path: Path) -> None:
    cases = [batch_case(str(folder)) for folder in CASES[::14]]
    told = []
    for jobs in (1, 2):
        place = str(tmp_path / f"results-{jobs}")
        batch.run(cases, place, None, batch.Settings(jobs=jobs))
        tables = {name: Results(place).table(name).drop("result").collect() for name in ("findings", "outcomes")}
        told.append({name: sorted(map(str, table.rows())) for name, table in tables.items()})
    assert told[0] == told[1] and told[0]["findings"]


@pytest.mark.parametrize("folder", CASES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_log_that_holds_each_line_twice_has_the_same_faults(folder: Path, tmp_path: Path, engine: Engine) -> None:
    """As a log that was collected twice; what can only be seen whole (a packed log, a trace.dat) is left out."""
    case = Case(folder)
    if any(n.endswith((".xz", ".gz", ".dat")) for n in case.names):
        pytest.skip("packed")
    for n in case.names:
        (tmp_path / n).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / n).write_bytes(2 * ((folder / n).read_bytes().removesuffix(b"\n") + b"\n"))
    once, twice = (case.findings(engine, {n: str(root / n) for n in case.names}) for root in (folder, tmp_path))
    assert {told[0] for told in twice} - {"OBS-001"} == {told[0] for told in once} - {"OBS-001"}
