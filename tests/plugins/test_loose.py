"""Plugins that nobody installed: a file, a package, a folder; the document's own example; those that are broken."""

import json
import re
from pathlib import Path

import pytest
from commands import tracekit
from packages import cache

from tracekit.batch import fingerprint

ROOT = Path(__file__).parents[2]
LOG = "[    1.000000] Linux version 6.12.0 (builder) #1 SMP\n[    2.000000] ring 0000:03:00.0: queue 2 made no progress\n"


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The plugin of docs/plugins.md, beside a log."""
    monkeypatch.setenv("XDG_CACHE_HOME", cache(tmp_path / "cache"))
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"`ring\.py` for .*?```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "dmesg.txt").write_text(LOG)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "ring.py").write_text(source)
    return tmp_path / "own" / "ring.py"


def findings(folder: Path, *options: str, **env: str) -> list[tuple[str, str, int]]:
    done = tracekit("analyze", folder / "dmesg.txt", "-f", "json", *options, **env)
    return [(f["code"], f["summary"], f["evidence"][0]["line"]) for f in json.loads(done.stdout)["findings"] if f["grade"]]


FOUND = [("RING-001", "queue 2 is stuck", 2)]


@pytest.mark.parametrize("isolate", ["foreign", "none"])
def test_a_file_with_a_grammar_and_a_function_is_a_plugin(ring: Path, tmp_path: Path, isolate: str) -> None:
    assert findings(tmp_path, "--plugins", str(ring), "--isolate", isolate) == FOUND
    assert findings(tmp_path) == []


def test_the_environment_names_plugins_too(ring: Path, tmp_path: Path) -> None:
    assert findings(tmp_path, TRACEKIT_PLUGINS=str(ring.parent)) == FOUND


def test_a_package_is_one_plugin(ring: Path, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "rings.py").write_text(ring.read_text())
    (package / "__init__.py").write_text("from .rings import GRAMMAR, stuck\n")
    assert findings(tmp_path, "--plugins", str(package)) == FOUND
    assert "\npackage ?: 1 diagnosis, 1 grammar folder\n" in tracekit("plugins", "--plugins", package).stdout


def test_plugins_are_listed_with_all_that_they_bring_and_why_one_was_not_loaded(ring: Path) -> None:
    (ring.parent / "broken.py").write_text("import nowhere\n")
    (ring.parent / "test_ring.py").write_text("raise SystemExit\n")
    told = tracekit("plugins", "--plugins", ring.parent).stdout
    assert re.search(
        rf"\nring 0\.2: 1 diagnosis, 1 grammar folder\n  from: {ring}\n"
        r"  hooks: tracekit_diagnoses, tracekit_grammars\n  codes: RING-001\n  tables: ring_stuck\n  loaded in: [0-9,]+ ms\n",
        told,
    )
    assert "  plugin broken ? failed to load: ModuleNotFoundError: No module named 'nowhere'" in told
    assert "test_ring" not in told


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = tracekit("analyze", tmp_path, "--plugins", tmp_path / "nix")
    assert (done.returncode, done.stderr) == (2, f"tracekit: --plugins {tmp_path / 'nix'}: there is no such file or folder\n")
    told = tracekit("plugins", TRACEKIT_PLUGINS=str(tmp_path / "nix.py")).stdout
    assert f"plugin nix ? failed to load: FileNotFoundError: there is no file and no folder {tmp_path / 'nix.py'}" in told


def test_a_code_that_is_taken_is_refused_by_name(ring: Path, tmp_path: Path) -> None:
    ring.write_text(ring.read_text().replace("RING-001", "MSI-001"))
    told = tracekit("plugins", "--plugins", ring).stdout
    assert "plugin ring 0.2 is wrong: diagnosis MSI-001 ring.stuck is left out, MSI-001 is taken" in told


def test_a_batch_hears_such_a_plugin_and_analyzes_anew_where_it_changed(ring: Path, tmp_path: Path) -> None:
    fingerprint.digest.cache_clear()
    batch = ("batch", tmp_path / "dmesg.txt", "-o", tmp_path / "results", "-j", "1")
    assert "1 with a fault" in tracekit(*batch, "--plugins", ring).stdout
    fingerprint.digest.cache_clear()
    assert "1 unchanged" in tracekit(*batch, "--plugins", ring).stdout
    fingerprint.digest.cache_clear()
    assert "1 case analyzed, 0 with a fault" in tracekit(*batch).stdout
    fingerprint.digest.cache_clear()


@pytest.mark.parametrize("isolate", ["foreign", "none"])
def test_a_plugin_of_another_api_is_not_loaded_and_named(ring: Path, tmp_path: Path, isolate: str) -> None:
    text = ring.read_text()
    ring.write_text(f"TRACEKIT_API = 1\n{text}")
    assert findings(tmp_path, "--plugins", str(ring), "--isolate", isolate) != []
    ring.write_text(f"TRACEKIT_API = 2  # a size of its own: bytecode is known by second and size\n{text}")
    told = tracekit("plugins", "--plugins", ring).stdout
    assert "plugin ring 0.2 was not loaded: it is written for API 2 of tracekit, this one has API 1" in told
    assert told.startswith("API 1\n")
    assert findings(tmp_path, "--plugins", str(ring), "--isolate", isolate) == []


def test_its_settings_are_shown_and_it_takes_part_in_every_command(ring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ring.write_text(
        ring.read_text().replace("def stuck(ring_stuck: pl.DataFrame)", "def stuck(ring_stuck: pl.DataFrame, *, least: int = 1)")
    )
    assert "set.ring.stuck.least " in tracekit("config", "show", "--plugins", ring, "--config", "none").stdout
    assert tracekit("replay", "dmesg.txt", "--plugins", ring).returncode == 0
    assert tracekit("whatif", "dmesg.txt", "--plugins", ring).returncode == 0
    assert tracekit("redact", "dmesg.txt", "-o", "clean", "--plugins", ring).returncode == 0


ENVELOPE = '''"""A collector's lines."""
ENVELOPES = r"""
// A collector.
//! layer: {layer}

%import .common (NAME)

start: boxed

// `2026-03-01T10:00:00Z [host9] text`.
boxed: iso " [" host "] " [msg]

iso: ISO
host: NAME
msg: MSG

ISO: /[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9:]+Z/
MSG: /.+/
"""
'''


@pytest.mark.parametrize("layer", ["collector", "outer"])
def test_an_envelope_of_ones_own_comes_before_those_that_take_any_stamp(
    layer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", cache(tmp_path / "cache"))
    (tmp_path / "boxed.py").write_text(ENVELOPE.format(layer=layer))
    line = "2026-03-01T10:00:0{}Z {}[   88.{}00000] DMAR-IR: IR3: can't allocate an IRTE\n"
    ask = "SELECT line, machine, ts FROM irte_exhausted ORDER BY line"

    def rows(head: str, *options: str) -> list[dict[str, object]]:
        (tmp_path / "a.log").write_text(line.format(1, head, 1) + line.format(2, head, 2))
        told: list[dict[str, object]] = json.loads(tracekit("query", tmp_path / "a.log", ask, "-f", "json", *options).stdout)
        return told

    own = ("--plugins", str(tmp_path / "boxed.py"))
    stamps = [88_100_000_000, 88_200_000_000]
    assert [(r["machine"], r["ts"]) for r in rows("[host9] ", *own)] == [("host9", t) for t in stamps]
    assert [(r["machine"], r["ts"]) for r in rows("[host9] ")] == [("", t) for t in stamps]
    assert [(r["machine"], r["ts"]) for r in rows("", *own)] == [("", t) for t in stamps]  # lines that it does not match stay as they were
