"""Deprecated names: used once more with a warning that plugins and samples show, listed in the guide, gone when their time is over."""

import subprocess
import sys
from pathlib import Path

import pytest
from packages import cache
from ring import RING

import tracekit
from tracekit import deprecation
from tracekit.cli import plugins as cli_plugins
from tracekit.deprecation import DEPRECATED, Deprecated, overdue
from tracekit.plugins import hooks, registry
from tracekit.plugins.isolation import IN_PROCESS
from tracekit.plugins.serving import Served

ROOT = Path(__file__).parent.parent
OLD = Deprecated("0.1", "tracekit.subject_of")
PLUGIN = f"""
from tracekit import Evidence, Finding, device_of, diagnosis
{RING}(ring_stuck):
    "A ring is stuck."
    import tracekit
    for e in ring_stuck.iter_rows(named=True):
        yield Finding("stuck", "proven", (Evidence(e["source"], e["line"], "cause"),), tracekit.at_once and tracekit.subject_of(e))
"""


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin that uses two names, one on import and one when its diagnosis runs; both are deprecated."""
    monkeypatch.setenv("XDG_CACHE_HOME", cache(tmp_path / "cache"))
    (path := tmp_path / "ring.py").write_text(PLUGIN)
    monkeypatch.setenv("TRACEKIT_PLUGINS", str(path))
    for name in ("device_of", "at_once"):
        monkeypatch.delitem(vars(tracekit), name, raising=False)
    monkeypatch.setattr(deprecation, "DEPRECATED", {"tracekit.device_of": OLD, "tracekit.at_once": OLD})
    return path


GOES = "tracekit.device_of goes with tracekit 0.2: use tracekit.subject_of"


def test_no_time_is_over() -> None:
    assert overdue(DEPRECATED, tracekit.__version__) == []


@pytest.mark.parametrize(("version", "over"), [("0.1.0", False), ("0.1.9", False), ("0.2.0", True), ("0.10.0", True), ("1.0.0", True)])
def test_a_name_whose_time_is_over_is_noticed(version: str, over: bool) -> None:
    assert overdue({"tracekit.old": OLD}, version) == (["tracekit.old"] if over else [])


def test_each_is_a_name_of_tracekit_or_a_hook_and_the_guide_lists_it() -> None:
    known = {*(f"tracekit.{name}" for name in tracekit.__all__), *(n for n in vars(hooks) if n.startswith("tracekit_"))}
    assert set(DEPRECATED) <= known
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    told = page.partition("compared by tests/test_deprecation.py -->\n")[2].partition("<!-- deprecated: end")[0]
    assert told == ("".join(f"* {d.text(name)}\n" for name, d in sorted(DEPRECATED.items())) or "Nothing is deprecated today.\n")


def test_a_deprecated_name_works_and_warns_where_it_is_used(ring: Path) -> None:
    for _ in range(2):
        with pytest.warns(DeprecationWarning, match="goes with tracekit 0.2") as told:
            assert tracekit.at_once.__name__ == "at_once"
        assert told[0].filename == __file__


def test_the_plugins_command_shows_it(ring: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tracekit.plugins.isolation.Isolation", lambda: IN_PROCESS)
    with pytest.warns(DeprecationWarning):
        cli_plugins.list_plugins()
    told = capsys.readouterr().out
    assert f"\nring ?: 1 diagnosis, 1 grammar folder\n  deprecated: {GOES}\n  from: " in told
    assert told.partition("\nring ?")[2].count("deprecated: ") == 1


def test_it_is_told_by_the_process_of_a_plugin(ring: Path) -> None:
    with pytest.warns(DeprecationWarning):
        assert Served("ring", str(ring), "1").load().outdated == (GOES,)


def test_a_deprecated_hook_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecation, "DEPRECATED", {"tracekit_machines": Deprecated("0.3", "tracekit_systems")})
    (path := tmp_path / "own.py").write_text("from tracekit import hookimpl\n@hookimpl\ndef tracekit_machines():\n    return {}\n")
    monkeypatch.setenv("TRACEKIT_PLUGINS", str(path))
    with pytest.warns(DeprecationWarning):
        (own,) = (p for p in registry.load().plugins if p.name == "own")
    assert (own.errors, own.outdated) == ([], ["tracekit_machines goes with tracekit 0.4: use tracekit_systems"])


def test_the_test_command_shows_each_once_and_passes(ring: Path, tmp_path: Path) -> None:
    (case := tmp_path / "samples" / "ring.stuck" / "fires-one").mkdir(parents=True)
    (case / "a.log").write_text("[    2.000000] ring 0000:03:00.0: queue 2 made no progress\n" * 2)
    (case / "expected.toml").write_text('origin = "by hand"\nreleases = ["1"]\n')
    script = (
        "from tracekit import deprecation as d; from tracekit.cli.main import main; import sys\n"
        "d.DEPRECATED = {'tracekit.device_of': d.Deprecated('0.1', 'x'), 'tracekit.at_once': d.Deprecated('0.1', 'y')}\n"
        f"sys.argv[1:] = ['test', {str(tmp_path / 'samples')!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith("deprecated: "))
    assert lines == [
        "deprecated: tracekit.at_once goes with tracekit 0.2: use y",
        "deprecated: tracekit.device_of goes with tracekit 0.2: use x",
    ], done.stdout + done.stderr
    assert done.stderr == ""
