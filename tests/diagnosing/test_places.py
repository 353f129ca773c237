"""A diagnosis sees one machine in one boot: hosts and boots beside each other give what each gives alone, on its own lines."""

import shutil
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest

from tracekit import Finding, clear, diagnosis, inconclusive
from tracekit.diagnosing.diagnoses import judge
from tracekit.diagnosing.places import Place, Places
from tracekit.pipeline import Engine, Options, analyze
from tracekit.testing import samples

SAMPLES = samples(Path(__file__).parents[2] / "sample_traces")
FAMILIES = sorted({case.parent for case in SAMPLES})
TWICE = [case for case in SAMPLES if len(list(case.iterdir())) == 2]  # one log and what it must give


@cache
def engine() -> Engine:
    return Engine.load()


def placed(top: Path, **cases: Path) -> list[Finding]:
    """The findings where each case lies in the folder of a host of its own, as in a support bundle."""
    sides: dict[str, str] = {}
    clocks: dict[str, int] = {}
    for host, case in cases.items():
        folder = top / "nodes" / host
        shutil.copytree(case, folder)
        (folder / "expected.toml").unlink()
        told = tomllib.loads((case / "expected.toml").read_text(encoding="utf-8"))
        sides |= {str(folder / name): side for name, side in told.get("sides", {}).items()}
        clocks |= {str(folder / name): ns for name, ns in told.get("clocks", {}).items()}
    run = analyze([str(top)], Options(sides=sides, clocks=clocks), engine())
    return [f for f in run.findings if f.code != "OBS-001"]


@cache
def shape_alone(case: Path) -> Counter[tuple[str, str | None, str | None]]:
    """What a case gives on a host of its own."""
    with TemporaryDirectory() as folder:
        return shapes(placed(Path(folder), alpha=case))


def shapes(found: list[Finding]) -> Counter[tuple[str, str | None, str | None]]:
    return Counter((f.code, f.grade, f.explained_by) for f in found)


def hosts(f: Finding) -> set[str]:
    return {Path(e.source).parts[-2] for e in f.evidence}


@pytest.mark.parametrize("case", SAMPLES, ids=lambda case: f"{case.parent.name}/{case.name}")
@pytest.mark.no_cover
def test_two_hosts_give_each_finding_once_a_host_from_its_own_lines(tmp_path: Path, case: Path) -> None:
    both = placed(tmp_path, alpha=case, beta=case)
    assert shapes(both) == Counter({key: 2 * n for key, n in shape_alone(case).items()})
    assert [(f.code, f.machine, hosts(f)) for f in both if hosts(f) != {f.machine}] == []


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.no_cover
def test_a_fault_beside_a_healthy_host_is_what_it_is_alone(tmp_path: Path, family: Path) -> None:
    fires, quiet = sorted(family.glob("fires-*"))[0], sorted(family.glob("quiet-*"))[0]
    assert shapes(placed(tmp_path, alpha=fires, beta=quiet)) == shape_alone(fires) + shape_alone(quiet)


@pytest.mark.parametrize("case", TWICE, ids=lambda case: f"{case.parent.name}/{case.name}")
@pytest.mark.no_cover
def test_two_boots_in_one_log_give_each_finding_once_a_boot(tmp_path: Path, case: Path) -> None:
    (log,) = [p for p in case.iterdir() if p.name != "expected.toml"]
    text = log.read_text(encoding="utf-8", errors="surrogateescape")
    names = []
    for name, content in (("one", text), ("two", text + "-- Reboot --\n" + text)):
        (tmp_path / name).mkdir()
        (tmp_path / name / log.name).write_text(content, encoding="utf-8", errors="surrogateescape")
        names.append(str(tmp_path / name / log.name))
    alone, both = ([f for f in analyze([name], Options(), engine()).findings if f.code != "OBS-001"] for name in names)
    assert shapes(both) == Counter({key: 2 * n for key, n in shapes(alone).items()})
    assert Counter(f.boot for f in both) == Counter({boot: len(alone) for boot in (0, 1) if alone})


def row(machine: str, boot: int = 0, side: str = "kernel", source: str = "a.log", line: int = 1) -> pl.DataFrame:
    return pl.DataFrame({"source": [source], "line": [line], "machine": [machine], "boot": [boot], "side": [side]})


def test_the_only_guest_and_the_only_host_are_related() -> None:
    places = Places({"x": pl.concat([row("host"), row("vm1", side="guest"), row("vm1", boot=1, side="guest")])})
    assert [str(p) for p in places] == ["host", "vm1", "vm1, boot 1"]
    host, one, again = places
    assert (places.related(host, one), places.related(again, host), places.related(one, again)) == (True, True, False)


def test_with_two_guests_nothing_states_which_one_the_host_speaks_of() -> None:
    rows = pl.concat([row("host"), row("vm1", side="guest"), row("vm2", side="guest1")])
    places = Places({"x": rows})
    assert [places.related(a, b) for a in places for b in places if a != b] == [False] * 6
    assert [f["machine"].to_list() for p in places if (f := places.across(p, "x")) is not None] == [["host"], ["vm1"], ["vm2"]]


def test_with_two_hosts_nothing_states_whose_guest_it_is() -> None:
    places = Places({"x": pl.concat([row("alpha"), row("beta"), row("vm", side="guest")])})
    assert [places.related(a, b) for a in places for b in places if a != b] == [False] * 6


def test_boots_of_one_machine_are_not_related() -> None:
    assert not Places({"x": pl.concat([row("m", 0), row("m", 1)])}).related(Place("m", 0), Place("m", 1))


def test_a_table_is_divided_by_place_and_one_without_machines_by_source() -> None:
    rows = pl.concat([row("alpha"), row("beta", source="b.log"), row("alpha", source="c.log", line=2)])
    places = Places({"x": rows, "sources": pl.DataFrame({"source": ["a.log", "b.log", "c.log"]})})
    alpha, beta = places
    assert [f["line"].to_list() for p in places if (f := places.rows(p, "x")) is not None] == [[1, 2], [1]]
    assert [f["source"].to_list() for p in places if (f := places.rows(p, "sources")) is not None] == [["a.log", "c.log"], ["b.log"]]
    assert (places.rows(alpha, "none"), places.across(beta, "none")) == (None, None)


def test_a_case_of_one_place_is_not_divided() -> None:
    rows = row("m")
    (place,) = places = Places({"x": rows, "empty": rows.clear()})
    assert places.rows(place, "x") is rows and places.across(place, "x") is rows
    assert list(Places({})) == [Place("", 0)]


def test_what_a_diagnosis_asks_for_across_has_the_rows_of_related_places() -> None:
    seen: list[tuple[int, int]] = []

    @diagnosis("test.across", code="ACROSS-1", severity="low", across=("told",))
    def across(x: pl.DataFrame, told: pl.DataFrame | None = None) -> Iterator[Finding]:
        """Look into the guest's log."""
        seen.append((x.height, 0 if told is None else told.height))
        yield from ()

    places = Places({"x": row("host"), "told": pl.concat([row("vm", side="guest"), row("host")])})
    assert judge(across, places)[1].outcome == "clear in part"
    assert seen == [(1, 2)]


def test_the_outcome_names_the_places_that_it_is_of() -> None:
    @diagnosis("test.some", code="SOME-1", severity="low", record="record x")
    def some(x: pl.DataFrame) -> Iterator[Finding]:
        """Look at x."""
        yield clear("looked")  # type: ignore[misc]

    outcome = judge(some, Places({"x": row("alpha"), "y": row("beta")}))[1]
    assert (outcome.outcome, outcome.reason, outcome.record) == (
        "clear in part",
        "looked (alpha); not evaluated for beta: no lines of x in the input",
        "record x",
    )


def test_what_one_place_leaves_open_is_no_all_clear_of_another() -> None:
    @diagnosis("test.open", code="OPEN-1", severity="low")
    def opened(x: pl.DataFrame) -> Iterator[Finding]:
        """Look at x."""
        yield clear("looked") if x["machine"][0] == "alpha" else inconclusive("cannot tell")  # type: ignore[misc]

    outcome = judge(opened, Places({"x": pl.concat([row("alpha"), row("beta")])}))[1]
    assert (outcome.outcome, outcome.reason) == ("inconclusive", "cannot tell (beta; not the other places)")


def test_a_finding_at_one_place_is_found_whatever_the_others_lack() -> None:
    @diagnosis("test.found", code="FOUND-1", severity="low")
    def found(x: pl.DataFrame) -> Iterator[Finding]:
        """Look at x."""
        yield Finding("x", "proven", ())

    found_, outcome = judge(found, Places({"x": row("alpha"), "y": row("beta")}))
    assert ([f.machine for f in found_], outcome.outcome, outcome.reason) == (["alpha"], "found", "1 finding")
