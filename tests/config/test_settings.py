"""What the user sets: diagnoses asked or not, severities, settings, suppressions, a baseline; and what is said of them."""

import json
from datetime import date
from pathlib import Path

import pytest
from commands import tracekit

from tracekit.config.control import Control
from tracekit.config.entries import Entry, of_options
from tracekit.config.values import value
from tracekit.errors import UsageError
from tracekit.findings import Finding, Subject
from tracekit.plugins import registry as plugins

SAMPLES = Path(__file__).parents[2] / "sample_traces"
TRACE = SAMPLES / "msi.stale-hwsize" / "fires-kprobe-8-16-6.12" / "trace.txt"
DIAGNOSES = plugins.load().diagnoses


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def document(*options: str) -> dict[str, object]:
    done = tracekit("analyze", TRACE, "--format", "json", *options)
    assert done.stderr == ""
    return json.loads(done.stdout) | {"status": done.returncode}


def graded(told: dict[str, object]) -> list[str]:
    return [f["code"] for f in told["findings"] if f["grade"]]


def test_a_family_that_is_ignored_is_not_asked_and_that_is_said() -> None:
    told = document("--ignore", "msi")
    assert [o["code"] for o in told["outcomes"] if o["code"].startswith("MSI-")] == []
    assert "9 diagnoses are not asked: MSI-001" in told["settings"][0]
    assert "MSI-001" not in graded(told)


def test_only_what_is_selected_is_asked() -> None:
    told = document("--select", "MSI-001,vfio.lost-on-resize")
    assert [o["code"] for o in told["outcomes"]] == ["MSI-001", "VFIO-001", "OBS-001"]
    assert graded(told) == ["MSI-001"]


def test_a_severity_moves_the_exit_status() -> None:
    told = document("--severity", "MSI=low", "--select", "MSI-001")
    assert [f["severity"] for f in told["findings"] if f["grade"]] == ["low"]
    assert told["status"] == 0
    assert document("--select", "MSI-001")["status"] == 1


def test_a_suppressed_fault_and_what_follows_from_it_are_counted_and_change_no_status(folder: Path) -> None:
    before = graded(document())
    (folder / "tracekit.toml").write_text('[[suppress]]\ncode = "MSI-001"\nreason = "known"\nuntil = 2999-01-01\n')
    told = document()
    assert graded(told) == []
    assert sorted(s["finding"]["code"] for s in told["suppressed"] if s["finding"]["grade"]) == sorted(before)
    assert told["status"] == 0
    page = tracekit("analyze", TRACE, "--full").stdout
    assert f"Suppressed: {len(before)} finding" in " ".join(page.split())[:400]
    assert "suppressed by MSI-001 (known)" in " ".join(page.split())
    for report in ("markdown", "html", "svg", "csv", "junit", "github"):
        assert "uppressed" in tracekit("analyze", TRACE, "-f", report).stdout, report
    results = json.loads(tracekit("analyze", TRACE, "-f", "sarif").stdout)["runs"][0]["results"]
    assert {"kind": "external", "justification": "known"} in [s for r in results for s in r.get("suppressions", ())]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ('code = "MSI-001"\nuntil = 2020-01-01', "suppression expired on 2020-01-01: MSI-001 (known)"),
        ('code = "MSI-001"\nuntil = "2020-01-01"', "suppression expired on 2020-01-01: MSI-001 (known)"),
        ('code = "MSI-001"\ndevice = "0000:99:00.0"', "suppression matches nothing here: MSI-001, device 0000:99:00.0 (known)"),
        ('fingerprint = "00"', "suppression matches nothing here: fingerprint 00 (known)"),
    ],
)
def test_a_suppression_that_expired_or_matches_nothing_is_named(folder: Path, keys: str, says: str) -> None:
    (folder / "tracekit.toml").write_text(f'[[suppress]]\n{keys}\nreason = "known"\n')
    told = document()
    assert "MSI-001" in graded(told)
    assert told["status"] == 1
    assert says in told["settings"]


def test_a_suppression_by_device_takes_the_short_address_too() -> None:
    found = [Finding("x", "proven", (), Subject("0000:3b:00.0", bdf="0000:3b:00.0"), code="MSI-001")]
    told = Control.of([Entry("suppress", {"device": "3b:00.0", "reason": "x"}, "file")], DIAGNOSES)
    kept, hidden = told.divided(found, date(2026, 1, 1))
    assert (kept, len(hidden)) == ([], len(found))
    other = Control.of([Entry("suppress", {"device": "3c:00.0", "reason": "x"}, "file")], DIAGNOSES)
    assert other.divided(found, date(2026, 1, 1))[0] == found


def test_of_a_baseline_only_what_is_new_fails(folder: Path) -> None:
    tracekit("analyze", TRACE, "-f", "json", "-o", folder / "old.json")
    told = document("--baseline", "old.json")
    assert (graded(told), told["status"]) == ([], 0)
    quiet = SAMPLES / "msi.stale-hwsize"
    empty = next(iter(sorted(quiet.glob("quiet-*/*.t*"))))
    tracekit("analyze", empty, "-f", "json", "-o", folder / "empty.json")
    told = document("--baseline", "empty.json")
    assert (graded(told)[0], told["status"]) == ("MSI-001", 1)


def test_results_of_a_batch_are_a_baseline(folder: Path) -> None:
    tracekit("batch", TRACE, "-o", folder / "results", "-j", "1")
    assert document("--baseline", "results")["status"] == 0


def test_a_saved_run_is_a_baseline(folder: Path) -> None:
    assert tracekit("analyze", TRACE, "--save", "old.run").returncode == 1
    told = document("--baseline", "old.run")
    assert (told["status"], len(told["suppressed"])) == (0, 1)
    (folder / "old.run").write_bytes((folder / "old.run").read_bytes()[:40])
    assert "old.run: is damaged, or no saved run" in tracekit("analyze", TRACE, "--baseline", "old.run").stderr


def test_config_show_says_where_each_value_is_from(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.tracekit]\nignore = ["CFG"]\n[tool.tracekit.set]\nXEN-003.least = 7\n')
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    lines = tracekit("config", "show", "--set", "VFIO-001.timeout=2min").stdout.splitlines()
    told = {line.partition("=")[0].strip(): line.partition("=")[2].strip() for line in lines}
    assert told["ignore"] == f"CFG  ({folder / 'pyproject.toml'})"
    assert told["set.vfio.lost-on-resize.timeout_s"] == "120  (--set)"
    assert told["set.xen.pirq-leak.least"] == f"7  ({folder / 'pyproject.toml'})"
    assert told["set.cfg.no-feedback.headroom"] == "16  (default)"


def test_the_file_is_found_upwards_and_can_be_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tracekit.toml").write_text('select = "MSI-001"\n')
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "pyproject.toml").write_text("[tool.other]\n")
    monkeypatch.chdir(folder / "a" / "b")
    assert len(document()["outcomes"]) == 2
    assert len(document("--config", "none")["outcomes"]) > 20


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ignroe = []", "no key is called ignroe; did you mean ignore?"),
        ('ignore = ["MSI-01"]', "no diagnosis and no family is called MSI-01; did you mean MSI-001?"),
        ("select = 3", "select is a list, not 3"),
        ('[severity]\nMSI = "hgh"', "hgh is none of critical, high, medium, low, info; did you mean high?"),
        ("[set]\nvfio.lost-on-resize.timout = 3", "VFIO-001 vfio.lost-on-resize has no setting timout; did you mean timeout_s?"),
        ('[[suppress]]\ncode = "MSI"', "suppress MSI: give a reason"),
        ('[[suppress]]\nreason = "x"', "suppress: give code, device or fingerprint"),
        ('[[suppress]]\ncode = "MSI"\nreasn = "x"', "suppress: no key is called reasn; did you mean reason?"),
        ('[[suppress]]\ncode = "MSI"\nreason = "x"\nuntil = "soon"', "until = soon: give a day, as in 2027-01-31"),
        ("ignore = [", "is no TOML: "),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_names_the_nearest(folder: Path, text: str, says: str) -> None:
    (folder / "tracekit.toml").write_text(text)
    done = tracekit("analyze", TRACE)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert says in done.stderr
    assert str(folder / "tracekit.toml") in done.stderr


@pytest.mark.parametrize(
    ("name", "given", "default", "is_"),
    [
        ("timeout_s", "2min", 120, 120),
        ("timeout_s", "90", 120, 90),
        ("timeout_s", 90, 120, 90),
        ("span_ns", "10ms", 1, 10_000_000),
        ("span_ms", "1.5 s", 1, 1500),
        ("short", "25%", 0.5, 0.25),
        ("short", "0.1", 0.5, 0.1),
        ("least", "3", 5, 3),
        ("on", "yes", False, True),
        ("text", "a", "b", "a"),
    ],
)
def test_a_value_is_read_by_the_type_of_its_setting(name: str, given: object, default: object, is_: object) -> None:
    read = value(name, given, default)
    assert (read, type(read)) == (is_, type(default))


@pytest.mark.parametrize(
    ("name", "given", "default"),
    [("timeout_s", "soon", 1), ("timeout_s", "500ms", 1), ("least", "2.5", 1), ("least", "10ms", 1), ("on", "maybe", True)],
)
def test_a_value_of_another_type_is_refused(name: str, given: str, default: object) -> None:
    with pytest.raises(ValueError, match="give "):
        value(name, given, default)


def test_a_setting_reaches_its_diagnosis() -> None:
    told = Control.of(of_options([], [], [], ["vfio.lost-on-resize.timeout=3h"], None), DIAGNOSES)
    assert told.settings == {"VFIO-001": {"timeout_s": 10_800}}
    with pytest.raises(UsageError, match="give NAME=VALUE"):
        of_options([], [], [], ["timeout"], None)
