"""A diagnosis of another plugin is replaced, given other settings, more advice, a lane; claims that do not hold cost the plugin that has them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import tracekit
from packages import cache
from ring import RING

from tracekit.batch import fingerprint
from tracekit.config.control import Control
from tracekit.config.entries import of_options
from tracekit.errors import UsageError
from tracekit.pipeline import Engine, Options, analyze
from tracekit.plugins import registry
from tracekit.run import Run
from tracekit.testing import run, shape

LOG = """\
[    1.000000] Linux version 6.12.0 (builder) #1 SMP
[    2.000000] ring 0000:03:00.0: queue 2 made no progress
[    3.000000] pci 0000:00:08.0: can't enable 3 VFs (bus 01 out of range of [bus 00])
"""
START = """
from tracekit import Evidence, Extension, Finding, Lane, diagnosis, lane, subject_of
"""
PLUGIN = f"""
__version__ = "1.0"
{RING}(ring_stuck, *, least: int = 1, share: float = 0.5):
    "A ring is stuck."
    for e in ring_stuck.iter_rows(named=True):
        if e["queue"] >= least:
            yield Finding("stuck", "proven", (Evidence(e["source"], e["line"], "cause"),), subject_of(e), advice="Read the ring.")
"""
SLOW = """
@diagnosis("{name}", code="{code}", severity="low", record="dmesg", replaces="{replaces}")
def slow(ring_stuck):
    "A ring is slow."
    for e in ring_stuck.iter_rows(named=True):
        yield Finding("slow", "possible", (Evidence(e["source"], e["line"], "cause"),), subject_of(e))
"""
Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write files as plugins that are loaded in the order of their names, `ring` among them."""
    monkeypatch.setenv("XDG_CACHE_HOME", cache(tmp_path / "cache"))

    def files(**sources: str) -> None:
        (folder := tmp_path / "own").mkdir()
        for name, source in {"ring": PLUGIN, **sources}.items():
            (folder / f"{name}.py").write_text(START + source)
        (tmp_path / "dmesg.txt").write_text(LOG)
        monkeypatch.setenv("TRACEKIT_PLUGINS", str(folder))

    return files


def slow(name: str = "ring.stuck", code: str = "RING-001", replaces: str = "ring.stuck") -> str:
    return SLOW.format(name=name, code=code, replaces=replaces)


def graded(result: Run) -> list[tuple[str, str | None, str, str | None, list[int]]]:
    return [f for f in shape(result.findings) if f[1]]


STUCK = ("RING-001", "proven", "0000:03:00.0", None, [2])


def test_nothing_is_said_where_no_plugin_changes_another(write: Write) -> None:
    write()
    result = run(LOG)
    assert (graded(result), result.errors, result.settings) == ([STUCK], (), ())


def test_a_replacement_may_keep_name_and_code(write: Write) -> None:
    write(acme=slow())
    result = run(LOG)
    assert graded(result) == [("RING-001", "possible", "0000:03:00.0", None, [2])]
    assert [(f.severity, f.summary) for f in result.findings if f.grade] == [("low", "slow")]
    assert (result.errors, result.settings) == ((), ("plugin acme ? replaces RING-001 ring.stuck",))
    assert [o.outcome for o in result.outcomes if o.code == "RING-001"] == ["found"]


def test_a_replacement_with_its_own_code_is_meant_by_the_code_that_it_replaces(write: Write) -> None:
    write(acme=slow("acme.slow", "ACME-001", "RING-001"))
    result = run(LOG)
    assert graded(result) == [("ACME-001", "possible", "0000:03:00.0", None, [2])]
    assert result.settings == ("plugin acme ? replaces RING-001 ring.stuck by ACME-001 acme.slow",)
    diagnoses = registry.load().diagnoses
    for name in ("RING-001", "ring.stuck", "RING", "ACME-001", "ACME"):
        assert Control.of(of_options([], [name], [], [], None), diagnoses).left_out == {"ACME-001"}, name


def test_a_built_in_diagnosis_is_replaced_and_its_place_in_precedence_kept(write: Write) -> None:
    source = slow("acme.slow", "ACME-001", "msi.stale-hwsize") + slow("cfg.lossy-policy", "CFG-001", "CFG-001").replace(
        "def slow", "def lossy"
    )
    before = {d.code: d for d in registry.load().diagnoses}
    write(acme=source)
    after = {d.code: d for d in registry.load().diagnoses}
    assert before.keys() - after.keys() == {"MSI-001"}
    for code in before.keys() & after.keys():
        if "MSI-001" in before[code].explains:
            assert "ACME-001" in after[code].explains, code
        elif code != "CFG-001":
            assert before[code].explains == after[code].explains
    assert after["CFG-001"].called == ("CFG-001", "cfg.lossy-policy", "CFG-001", "cfg.lossy-policy")


def test_what_explains_the_replaced_explains_the_replacement(write: Write) -> None:
    root = slow("beta.root", "BETA-001", "").replace('replaces=""', 'explains=("RING-001",)').replace('"slow"', '"root"')
    write(acme=slow("acme.slow", "ACME-001"), beta=root)
    assert graded(run(LOG)) == [
        ("BETA-001", "possible", "0000:03:00.0", None, [2]),
        ("ACME-001", "possible", "0000:03:00.0", "BETA-001", [2]),
    ]


@pytest.mark.parametrize(
    ("sources", "errors"),
    [
        (
            {"acme": slow(), "beta": slow()},
            ["plugin beta ? is wrong: diagnosis RING-001 ring.stuck is left out, ring.stuck is replaced by plugin acme ? already"],
        ),
        (
            {"acme": slow("acme.slow", "ACME-001"), "beta": slow("beta.slow", "BETA-001")},
            ["plugin beta ? is wrong: diagnosis BETA-001 beta.slow is left out, ring.stuck is replaced by plugin acme ? already"],
        ),
        (
            {"acme": slow("acme.slow", "ACME-001", "ring.stick")},
            [
                "plugin acme ? is wrong: diagnosis ACME-001 acme.slow is left out, it replaces ring.stick, which no other plugin has;"
                " did you mean ring.stuck?"
            ],
        ),
        (
            {"acme": slow("acme.slow", "MSI-001")},
            ["plugin acme ? is wrong: diagnosis MSI-001 acme.slow is left out, MSI-001 is taken by tracekit_msi"],
        ),
        (
            {"acme": slow("acme.slow", "ACME-001").replace('="ring.stuck"', "=True")},
            ["plugin acme ? failed to answer tracekit_diagnoses: TypeError: acme.slow: replaces is no name of a diagnosis"],
        ),
        (
            {"acme": slow("ring.stuck", "RING-001", "")},
            ["plugin ring 1.0 is wrong: diagnosis RING-001 ring.stuck is left out, RING-001 and ring.stuck is taken by acme"],
        ),
    ],
)
def test_a_replacement_that_cannot_be_costs_its_plugin_alone(write: Write, sources: dict[str, str], errors: list[str]) -> None:
    write(**sources)
    result = run(LOG)
    assert list(result.errors) == errors
    assert len(graded(result)) == 1


def test_a_replacement_is_replaced(write: Write) -> None:
    write(acme=slow("acme.slow", "ACME-001"), beta=slow("beta.slow", "BETA-001", "acme.slow"))
    assert [(f[0], f[1]) for f in graded(run(LOG))] == [("BETA-001", "possible")]
    (d,) = (d for d in registry.load().diagnoses if d.code == "BETA-001")
    assert d.stands_for == ("ACME-001", "acme.slow", "RING-001", "ring.stuck")


def test_the_replaced_stays_where_the_plugin_of_the_replacement_does_not_load(write: Write) -> None:
    write(acme=slow() + "\nimport nowhere\n")
    result = run(LOG)
    assert graded(result) == [STUCK]
    assert list(result.errors) == ["plugin acme ? failed to load: ModuleNotFoundError: No module named 'nowhere'"]


def test_settings_of_an_extension_hold_and_those_of_the_user_come_before_them(write: Write, tmp_path: Path) -> None:
    write(acme='e = Extension("ring.stuck", settings={"least": 3, "share": 1})\n')
    result = run(LOG)
    assert (graded(result), result.settings) == ([], ("plugin acme ? sets least = 3, share = 1 of RING-001 ring.stuck",))
    engine = Engine.load()
    engine = Engine(
        engine.registry,
        engine.models,
        engine.vocabulary,
        control=Control.of(of_options([], [], [], ["RING-001.least=2"], None), engine.registry.diagnoses),
    )
    assert graded(analyze([str(tmp_path / "dmesg.txt")], Options(), engine)) == [STUCK]


def test_an_extension_adds_its_advice_to_each_finding(write: Write) -> None:
    write(acme='e = Extension("RING-001", advice="Load firmware 3.2.")\n', beta='e = Extension("RING-001", advice="Call us: {KV2}.")\n')
    result = run(LOG)
    (f,) = (f for f in result.findings if f.grade)
    assert f.advice.startswith("Read the ring. Load firmware 3.2. (acme ?) Call us: ")
    assert "{KV2}" not in f.advice
    assert result.settings == ("plugin acme ? adds advice to RING-001 ring.stuck", "plugin beta ? adds advice to RING-001 ring.stuck")


@pytest.mark.parametrize(
    ("extensions", "errors", "advice"),
    [
        (
            {"acme": 'Extension("RING-001", settings={"lest": 3})'},
            ["plugin acme ? is wrong: the extension of RING-001 is left out, it has no setting lest; did you mean least?"],
            "Read the ring.",
        ),
        (
            {"acme": 'Extension("RING-001", settings={"least": "3"})'},
            ["plugin acme ? is wrong: the extension of RING-001 is left out, its setting least is of type int, not str"],
            "Read the ring.",
        ),
        (
            {"acme": 'Extension("ring.stick", advice="No.")'},
            [
                "plugin acme ? is wrong: the extension of ring.stick is left out, no other plugin has a diagnosis of that name;"
                " did you mean ring.stuck?"
            ],
            "Read the ring.",
        ),
        (
            {"acme": 'Extension("RING-001", "One.", {"least": 2})', "beta": 'Extension("ring.stuck", "Two.", {"least": 9})'},
            ["plugin beta ? is wrong: the extension of ring.stuck is left out, plugin acme sets least already"],
            "Read the ring. One. (acme ?)",
        ),
        (
            {"acme": 'Extension("RING-001")'},
            ["plugin acme ? failed to answer tracekit_extensions: TypeError: extension of RING-001: it has neither settings nor advice"],
            "Read the ring.",
        ),
        (
            {"acme": 'Extension("RING-001", settings={"least": object})'},
            ["plugin acme ? failed to answer tracekit_extensions: TypeError: "],
            "Read the ring.",
        ),
        (
            {"acme": 'Extension("RING-001", advice="Since {KV99}.")'},
            ["plugin acme ? is wrong: the extension of RING-001 asks for a gate KV99, which nothing declares"],
            "Read the ring. Since {KV99}. (acme ?)",
        ),
    ],
)
def test_an_extension_that_cannot_be_costs_its_plugin_alone(
    write: Write, extensions: dict[str, str], errors: list[str], advice: str
) -> None:
    write(**{name: f"e = {text}\n" for name, text in extensions.items()})
    result = run(LOG)
    assert len(result.errors) == len(errors)
    assert all(told.startswith(error) for told, error in zip(result.errors, errors, strict=True)), result.errors
    assert [f.advice for f in result.findings if f.grade] == [advice]


LANE = """
@lane(45, reads=("ring_stuck",), of=({of!r},))
def rings(scene):
    rows = scene.all("ring_stuck")
    if rows is not None:
        yield Lane("rings", "ring_stuck", marks=tuple(scene.moments(rows, "bad", "stuck")))
"""


@pytest.mark.parametrize(("of", "drawn"), [("RING-001", True), ("ring.stuck", True), ("MSI-001", False)])
@pytest.mark.parametrize("isolation", ["foreign", "none"])
def test_a_lane_stands_in_the_pictures_of_one_diagnosis(write: Write, tmp_path: Path, of: str, drawn: bool, isolation: str) -> None:
    write(acme=LANE.format(of=of))
    again = LOG.splitlines(keepends=True)[1]
    (tmp_path / "dmesg.txt").write_text(LOG + "".join(again.replace("2.0", f"{n}.0") for n in range(4, 9)))
    done = tracekit("analyze", tmp_path / "dmesg.txt", "-f", "html", "--isolate", isolation)
    assert (">rings<" in done.stdout, done.stderr) == (drawn, "")


@pytest.mark.parametrize("isolation", ["foreign", "none"])
def test_commands_say_what_is_changed_and_by_whom_wherever_plugins_run(write: Write, tmp_path: Path, isolation: str) -> None:
    write(acme=slow("acme.slow", "ACME-001"), beta='e = Extension("vfio.lost-on-resize", "Ask us.", {"timeout_s": 20})\n')
    changes = [
        "plugin acme ? replaces RING-001 ring.stuck by ACME-001 acme.slow",
        "plugin beta ? sets timeout_s = 20 of VFIO-001 vfio.lost-on-resize",
        "plugin beta ? adds advice to VFIO-001 vfio.lost-on-resize",
    ]
    told = json.loads(tracekit("analyze", tmp_path / "dmesg.txt", "-f", "json", "--isolate", isolation).stdout)
    assert (told["settings"], told["errors"]) == (changes, [])
    assert [(f["code"], f["grade"]) for f in told["findings"] if f["grade"]] == [("ACME-001", "possible")]


def test_explain_plugins_and_config_say_it_too(write: Write) -> None:
    write(acme=slow("acme.slow", "ACME-001"), beta='e = Extension("vfio.lost-on-resize", "Ask us.", {"timeout_s": 20})\n')
    told = tracekit("explain", "ring.stuck").stdout
    assert told.startswith("acme.slow (ACME-001), severity low\n\nA ring is slow.\n")
    assert told.endswith("changed: plugin acme ? replaces RING-001 ring.stuck by ACME-001 acme.slow\n")
    told = tracekit("explain", "VFIO-001").stdout
    assert "timeout_s = 20" in told
    assert "changed: plugin beta ? sets timeout_s = 20 of VFIO-001 vfio.lost-on-resize" in told
    told = tracekit("plugins").stdout
    assert "\nacme ?: 1 diagnosis\n  replaces RING-001 ring.stuck by ACME-001 acme.slow\n" in told
    assert "\nbeta ?: 1 extension\n  sets timeout_s = 20 of VFIO-001 vfio.lost-on-resize\n  adds advice to VFIO-001 " in told
    assert "= 20  (plugin beta ?)" in tracekit("config", "show", "--config", "none").stdout
    assert "= 60  (--set)" in tracekit("config", "show", "--config", "none", "--set", "vfio.lost-on-resize.timeout=1min").stdout


def test_a_name_that_no_diagnosis_has_is_still_an_error(write: Write) -> None:
    write(acme=slow())
    with pytest.raises(UsageError, match="no diagnosis and no family is called RUNG"):
        Control.of(of_options([], ["RUNG"], [], [], None), registry.load().diagnoses)


def test_a_batch_keeps_what_was_changed_and_its_report_says_it(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint.digest.cache_clear()
    write(acme=slow("acme.slow", "ACME-001"))
    assert "1 case analyzed" in tracekit("batch", tmp_path / "dmesg.txt", "-o", tmp_path / "results", "-j", "1").stdout
    fingerprint.digest.cache_clear()
    monkeypatch.delenv("TRACEKIT_PLUGINS")
    told = json.loads(tracekit("report", tmp_path / "results", "-f", "json").stdout)
    assert told["settings"] == ["plugin acme ? replaces RING-001 ring.stuck by ACME-001 acme.slow"]
