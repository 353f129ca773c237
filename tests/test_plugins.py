"""Plugins of others, broken in every way: each is named with its version, the rest goes on, the exit status stays."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import packages
import pytest
from acme import GRAMMAR, NAMED, START, STUCK
from packages import single

from tracekit.cli import main as cli
from tracekit.cli.plugins import list_plugins
from tracekit.pipeline import Engine, analyze
from tracekit.plugins import registry as plugins
from tracekit.testing import run

LOG = """\
[    1.000000] Linux version 6.12.0 (builder) #1 SMP
[    2.000000] acme 0000:03:00.0: ring 2 made no progress
[    3.000000] pci 0000:00:08.0: can't enable 3 VFs (bus 01 out of range of [bus 00])
"""
FAILED = """\
 qemu-100     [001] .....    16.779983: k_open: (vfio_pci_core_enable+0x4/0x370 [vfio_pci_core]) vdev=0xff11000005067000
 qemu-100     [001] .....    16.795977: k_set: (vfio_pci_set_irqs_ioctl+0x4/0xd0 [vfio_pci_core]) vdev=0xff11000005067000 flags=0x21 index=2 start=0 count=0
 qemu-100     [001] .....    16.796977: r_set: (vfio_pci_core_ioctl+0x109/0xf60 [vfio_pci_core] <- vfio_pci_set_irqs_ioctl) ret=-5
"""
Install = Callable[..., None]


def table(column: str) -> str:
    """A model whose table has one column."""
    return f"type('M', (Model,), {{'tables': (Table('x', 'A row.', ({column},)),)}})"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache of lowered grammars that only these tests use."""
    return packages.cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str) -> Iterator[Install]:
    """Install a package `acme` 1.2 that is one module, beside a folder of grammars."""

    def write(source: str, **grammars: str) -> None:
        single(tmp_path, source, **(grammars or {"events": GRAMMAR}))

    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield write
    sys.modules.pop("tracekit_acme_module", None)


def diagnoses(*names: str) -> str:
    return f"\n@hookimpl\ndef tracekit_diagnoses():\n    return [{', '.join(names)}]\n"


def models(*names: str) -> str:
    return f"\n@hookimpl\ndef tracekit_models():\n    return [{', '.join(names)}]\n"


def own() -> list[str]:
    """What a run of the log complains about; every complaint names the plugin, and the built-in diagnoses have their outcomes."""
    result = run(LOG)
    assert len(result.outcomes) > 40
    assert len({o.code for o in result.outcomes}) == len(result.outcomes)
    assert all(e.startswith(NAMED) for e in result.errors), result.errors
    (plugin,) = (p for p in result.plugins if p.name == "acme")
    assert plugin.errors == result.errors
    return [e.removeprefix(NAMED) for e in result.errors]


def test_a_plugin_that_is_whole_is_heard(install: Install) -> None:
    install(START + STUCK + diagnoses("stuck"))
    result = run(LOG)
    assert result.errors == ()
    assert [(f.code, f.summary, f.evidence[0].line) for f in result.findings if f.grade] == [("ACME-001", "ring 2 is stuck", 2)]


def test_a_diagnosis_may_ask_for_the_score_of_the_model(install: Install, tmp_path: Path) -> None:
    install(
        START
        + """
@diagnosis("acme.score", code="ACME-001", severity="info", record="dmesg")
def missed(divergences):
    "Operations that did not return what the model says."
    for e in divergences.iter_rows(named=True):
        yield Finding(f"{e['operation']} {e['predicted']} {e['observed']}", "proven", (Evidence(e["source"], e["line"], "cause"),))
"""
        + diagnoses("missed")
    )
    (log := tmp_path / "trace.txt").write_text(FAILED)
    assert [f.summary for f in analyze([str(log)]).findings if f.code == "ACME-001"] == ["set_irqs -22 -5"]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise OSError('no device')", "failed to load: OSError: no device"),
        ("import sys; sys.exit(3)", "failed to load: SystemExit: 3"),
        ("def (", "failed to load: SyntaxError: invalid syntax (tracekit_acme_module.py, line 1)"),
        ("import acme_is_not_there", "failed to load: ModuleNotFoundError: No module named 'acme_is_not_there'"),
    ],
)
def test_import(install: Install, source: str, error: str) -> None:
    install(source)
    assert own() == [error]


HOOKS = [
    ("    raise OSError('away')", "OSError: away"),
    ("    import sys; sys.exit(1)", "SystemExit: 1"),
    ("    return None", "TypeError: it returned None, not a list"),
    ("    return 'text'", "TypeError: it returned a str, not a list"),
]


@pytest.mark.parametrize("hook", ["grammars", "models", "diagnoses", "reports", "systems"])
@pytest.mark.parametrize(("body", "error"), HOOKS)
def test_hook(install: Install, hook: str, body: str, error: str) -> None:
    install(f"from tracekit import hookimpl\n@hookimpl\ndef tracekit_{hook}():\n{body}\n")
    (plugin,) = (p for p in plugins.load().plugins if p.name == "acme")
    assert plugin.errors == [f"{NAMED}failed to answer tracekit_{hook}: {error}"]


@pytest.mark.parametrize(
    ("hook", "part", "error"),
    [
        ("grammars", "'acme_grammars'", "'acme_grammars' is no pathlib.Path"),
        ("grammars", "Path('nowhere')", "there is no folder nowhere (is it in the package data?)"),
        ("models", "object", "object is no subclass of tracekit.Model"),
        ("models", "Model()", "a Model is no subclass of tracekit.Model (give the class, not an object)"),
        ("models", "type('M', (Model,), {'needs': 'calls'})", "M.needs is no tuple of names of tables"),
        (
            "models",
            "type('M', (Model,), {'looks_for': {'graph_leaf': 'kfree'}})",
            "M.looks_for is no mapping of names of tables to tuples of texts",
        ),
        ("models", "type('M', (Model,), {'tables': ['lives']})", "M.tables is no tuple of tracekit.Table"),
        ("models", "type('M', (Model,), {'tables': {'lives': {'n': pl.Int64()}}})", "M.tables is no tuple of tracekit.Table"),
        ("models", table("Column('n', int)"), "M.tables: x: column n has no polars type but <class 'int'>"),
        ("models", table("'n'"), "M.tables: x: 'n' is no tracekit.Column"),
        ("models", table("Column('ts', pl.Int64())"), "M.tables: x: column ts has the name of an envelope column; choose another"),
        (
            "models",
            table("Column('line_end', pl.Int64())"),
            "M.tables: x: column line_end has the name of an envelope column; choose another",
        ),
        ("models", "type('M', (Model,), {'tables': (Table('x', 'A row.', (), ('n',)),)})", "M.tables: x: n is a key and no column"),
        ("diagnoses", "print", "print is not decorated with @tracekit.diagnosis(...)"),
        (
            "diagnoses",
            "diagnosis('a.b', code='A-001', severity='grave')(print)",
            "a.b: severity 'grave' is none of critical, high, medium, low, info",
        ),
        ("diagnoses", "diagnosis('a.b', code='A-001', severity='low', explains='A-002')(len)", "a.b: explains is no tuple of codes"),
        ("reports", "3", "a int is no class"),
        ("reports", "object", "object has no name for --format"),
        ("reports", "type('R', (), {'name': 'r'})", "R has no method write(run, options)"),
        ("systems", "Model", "Model is no subclass of tracekit.System"),
        ("systems", "type('S', (System,), {'reads': 'calls'})", "S.reads is no tuple of names of tables"),
    ],
)
def test_a_wrong_part_is_named_and_the_others_stay(install: Install, hook: str, part: str, error: str) -> None:
    good = "" if hook == "diagnoses" else diagnoses("stuck")
    start = START.split("@hookimpl")[0] if hook == "grammars" else START
    parts = f"{part}, stuck" if hook == "diagnoses" else part
    install(f"{start}{STUCK}{good}\n@hookimpl\ndef tracekit_{hook}():\n    return [{parts}]\n")
    (plugin,) = (p for p in plugins.load().plugins if p.name == "acme")
    assert plugin.errors == [f"{NAMED}failed to answer tracekit_{hook}: TypeError: {error}"]
    assert [d.code for d in plugin.diagnoses] == ["ACME-001"]


def test_what_looks_like_a_hook_and_is_none(install: Install) -> None:
    install(START + "\ndef tracekit_models():\n    return []\n\n@hookimpl\ndef tracekit_diagnosis():\n    return []\n")
    assert own() == [
        "is wrong: tracekit_models has no @tracekit.hookimpl above it",
        "is wrong: tracekit_diagnosis is no hook; did you mean tracekit_diagnoses?",
    ]


LIVES = """
class Lives(Model):
    tables = (Table("acme_lives", "A stuck ring.", (Column("ring", pl.Int64(), "Number of the ring."),)),)
    def on_acme_stuck(self, e):
        self.emit("acme_lives", e, ring=e.ring)
"""


@pytest.mark.parametrize(
    ("source", "errors"),
    [
        (
            LIVES.replace("ring=e.ring", "ring=e.rong"),
            ["failed to replay Lives: AttributeError: 'Row' object has no attribute 'rong'"],
        ),
        (
            LIVES.replace("ring=e.ring", "rung=e.ring"),
            ["failed to replay Lives: ValueError: Lives.tables: acme_lives has no column rung"],
        ),
        (
            LIVES.replace('emit("acme_lives"', 'emit("acme_life"'),
            ["failed to replay Lives: ValueError: Lives.tables has no table acme_life"],
        ),
        (
            LIVES
            + "    needs = ('acme_stuck',)\n    def run(self, rows, tables):\n        return {'acme_lives': pl.DataFrame({'rung': [1]})}\n",
            [
                "failed to replay Lives: ValueError: Lives emits acme_lives with other columns than its tables declare: "
                "boot, line, line_end, machine, on_cpu, ring, rung, side, source, task, tid, ts, ts_end, ts_raw"
            ],
        ),
        (
            LIVES
            + "    def run(self, rows, tables):\n        made = super().run(rows, tables)\n"
            + "        made['acme_lives'] = made['acme_lives'].drop('ring')\n        return made\n",
            ["failed to replay Lives: ValueError: Lives emits acme_lives with other columns than its tables declare: ring"],
        ),
        (
            LIVES + "    def run(self, rows, tables):\n        return None\n",
            ["failed to replay Lives: AttributeError: 'NoneType' object has no attribute 'items'"],
        ),
        (
            LIVES + "    def __init__(self):\n        pass\n",
            ["failed to replay Lives: AttributeError: 'Lives' object has no attribute '_emitted'"],
        ),
        (
            LIVES + "    def on_acme_stack(self, e):\n        pass\n",
            ["is wrong: model Lives asks for a table acme_stack, which nothing gives; did you mean acme_stuck?"],
        ),
        (LIVES.replace("acme_lives", "acme_stuck"), ["is wrong: model Lives is left out, a grammar's event is called acme_stuck"]),
        (
            LIVES.replace("acme_lives", "gates"),
            [
                "is wrong: model Lives is left out, another table is called gates and is declared otherwise: "
                "models that emit one table share its declaration"
            ],
        ),
    ],
)
def test_model(install: Install, source: str, errors: list[str]) -> None:
    install(START + STUCK + source + models("Lives") + diagnoses("stuck"))
    assert own() == errors
    assert "ACME-001" in {f.code for f in run(LOG).findings}


def test_models_that_hear_each_other_are_left_out_and_those_after_them_hear_nothing(install: Install) -> None:
    circle = """
class A(Model):
    tables = (Table("acme_a", "A row."),)
    def on_acme_b(self, e): pass
class B(A):
    tables = (Table("acme_b", "A row."),)
    def on_acme_a(self, e): pass
class C(Model):
    tables = (Table("acme_c", "A row."),)
    def on_acme_a(self, e): pass
"""
    install(START + STUCK + circle.replace("class B(A)", "class B(Model)") + models("C", "A", "B") + diagnoses("stuck"))
    assert own() == [
        "failed to replay A: ValueError: models hear each other: A, B",
        "failed to replay B: ValueError: models hear each other: A, B",
    ]
    assert "ACME-001" in {f.code for f in run(LOG).findings}


BAD = """
@diagnosis("acme.bad", code="ACME-002", severity="high", record="dmesg")
def bad(acme_stuck):
    "Bad."
    {body}
"""
FINE = 'Evidence("a.log", 2)'
IT = "failed to run ACME-002 acme.bad: "


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("raise KeyError('x')", "KeyError: 'x'"),
        ("yield 1 / 0", "ZeroDivisionError: division by zero"),
        ("return None", "TypeError: it returned NoneType; a diagnosis yields findings and verdicts"),
        ("yield 'stuck'", "TypeError: it yielded a str, neither a Finding nor a Verdict"),
        ("yield None", "TypeError: it yielded a NoneType, neither a Finding nor a Verdict"),
        ("yield Finding('x', 'sure', ())", "ValueError: it yielded a Finding of grade 'sure', severity None"),
        ("yield Finding('x', 'proven', (), severity='bad')", "ValueError: it yielded a Finding of grade 'proven', severity 'bad'"),
        (f"yield Finding('x', 'proven', {FINE})", "TypeError: it yielded a Finding whose evidence is a Evidence, not a tuple"),
        ("yield Finding('x', 'proven', (2,))", "TypeError: it yielded a Finding with the evidence 2"),
        ("yield Finding('x', 'proven', (), None)", "TypeError: it yielded a Finding whose subject is a NoneType, not a Subject"),
        ("yield Finding(7, 'proven', ())", "TypeError: it yielded a Finding whose summary is a int, not a str"),
        (
            "yield Finding('x', 'proven', (), values={'f': open})",
            "TypeError: it yielded a Finding with values that are no text and no numbers: {'f': <built-in function open>}",
        ),
    ],
)
def test_diagnosis(install: Install, body: str, error: str) -> None:
    install(START + STUCK + BAD.format(body=body) + diagnoses("bad", "stuck"))
    assert own() == [IT + error]
    result = run(LOG)
    (outcome,) = (o for o in result.outcomes if o.code == "ACME-002")
    assert (outcome.outcome, outcome.reason) == ("not evaluated", NAMED + IT + error)
    assert "ACME-001" in {f.code for f in result.findings}


def test_evidence_of_a_source_that_is_not_there_is_printed_without_text(install: Install) -> None:
    install(START + BAD.format(body="yield Finding('x', 'proven', (Evidence('elsewhere.log', 99),))") + diagnoses("bad"))
    assert own() == []


def test_a_diagnosis_asks_for_tables_that_nothing_gives(install: Install) -> None:
    install(
        START
        + STUCK.replace("def stuck(acme_stuck)", "def stuck(acme_stuk, acme_more=None)").replace("in acme_stuck", "in acme_stuk")
        + diagnoses("stuck")
    )
    assert own() == [
        "is wrong: diagnosis ACME-001 acme.stuck asks for a table acme_more, which nothing gives",
        "is wrong: diagnosis ACME-001 acme.stuck asks for a table acme_stuk, which nothing gives; did you mean acme_stuck?",
    ]


@pytest.mark.parametrize(
    ("name", "code", "taken"),
    [
        ("acme.stuck", "MSI-001", "MSI-001 is taken by tracekit_msi"),
        ("msi.stale-hwsize", "ACME-001", "msi.stale-hwsize is taken by tracekit_msi"),
        ("acme.stuck", "OBS-001", "OBS-001 is taken by tracekit"),
    ],
)
def test_a_name_or_code_that_is_taken(install: Install, name: str, code: str, taken: str) -> None:
    install(START + STUCK.replace("acme.stuck", name).replace("ACME-001", code) + diagnoses("stuck"))
    assert own() == [f"is wrong: diagnosis {code} {name} is left out, {taken}"]


@pytest.mark.parametrize(
    ("folder", "grammar", "error"),
    [
        ("events", "start: (", "GrammarError: "),
        ("events", GRAMMAR.replace("start: acme_stuck", "begin: acme_stuck"), "no rule 'start'"),
        ("events", GRAMMAR.replace("acme_stuck", "vector_alloc"), "vector_alloc: irq_vectors.lark has a rule of that name"),
        (
            "events",
            GRAMMAR.replace("ring: DEC", "ts: DEC").replace(" ring ", " ts "),
            "acme_stuck: field ts has the name of an envelope column; choose another",
        ),
        (
            "events",
            GRAMMAR.replace("ring: DEC", "ring: /(?=2)[0-9]/"),
            "acme_stuck: ASSERT in a terminal: only classes, literals, groups",
        ),
        ("events", "//! foundby: x\n\n" + GRAMMAR, "acme.lark:1:1: mark foundby: there is no such mark; did you mean found-by?"),
        ("events", GRAMMAR + "%ignore / +/\n", "%ignore is not allowed: every blank is written"),
        (
            "events",
            GRAMMAR.replace('"ring "', '"ring " x+').replace('": ring " ring', '": ring " digit+') + "digit: ring\n",
            "acme.lark: acme_stuck: ",
        ),
        ("envelopes", GRAMMAR.replace("acme_stuck", "ftrace"), "ftrace: tracer.lark has a rule of that name"),
        ("odd", GRAMMAR, "holds no events/*.lark and no envelopes/*.lark (are they in the package data?)"),
    ],
)
def test_grammar(install: Install, folder: str, grammar: str, error: str) -> None:
    install(START + STUCK + diagnoses("stuck"), **{folder: grammar})
    first = own()[0]
    assert first.startswith(("has a grammar to mend: ", "failed to answer tracekit_grammars: "))
    assert error.removeprefix("GrammarError: ") in first
    assert any(NAMED + first == e for p in Engine.load().registry.plugins for e in p.errors)


REPORT = """
class Acme:
    name = "{name}"
    def write(self, run, options):
        {body}
@hookimpl
def tracekit_reports():
    return [Acme]
"""


@pytest.mark.parametrize(
    ("body", "error"), [("raise OSError('no paper')", "OSError: no paper"), ("return 7", "TypeError: it returned int, not text")]
)
@pytest.mark.parametrize("findings", [True, False])
def test_a_report_that_fails_gives_way_to_the_page(
    install: Install,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    error: str,
    findings: bool,
) -> None:
    install(START + STUCK + diagnoses(*["stuck"] * findings) + REPORT.format(name="acme", body=body))
    (tmp_path / "dmesg.txt").write_text(LOG)
    written = tmp_path / "report"
    monkeypatch.setattr(sys, "argv", ["tracekit", "analyze", str(tmp_path / "dmesg.txt"), "--format", "acme", "-o", str(written)])
    with pytest.raises(SystemExit) as e:
        cli.main()
    assert e.value.code == int(findings)
    told = capsys.readouterr()
    assert told.err == f"tracekit: {NAMED}failed to write the report acme: {error}; the page of the terminal instead\n"
    assert told.out.startswith("1 finding (1 proven)" if findings else "Nothing wrong found")
    assert not written.exists()


def test_a_report_whose_name_is_taken(install: Install) -> None:
    install(START + REPORT.format(name="json", body="return ''"))
    assert own() == ["is wrong: report json is left out, json is taken by tracekit_reports"]
    assert [r.__name__ for r in plugins.load().reports if r.name == "json"] == ["JsonReport"]


def test_a_system_that_reads_a_table_that_nothing_gives(install: Install) -> None:
    system = """
class Acme(System):
    reads = ("acme_stuck", "acme_stack")
@hookimpl
def tracekit_systems():
    return [Acme]
"""
    install(START + system)
    assert own() == ["is wrong: system Acme asks for a table acme_stack, which nothing gives; did you mean acme_stuck?"]


def test_a_system_gets_the_tables_that_it_reads_and_no_other(install: Install, tmp_path: Path) -> None:
    system = f"""
class Acme(System):
    reads = ("acme_stuck", "kernel_version")
    @classmethod
    def instances(cls, machines, tables):
        Path({str(tmp_path)!r}, "told").write_text(",".join(sorted(tables)) + str(tables["acme_stuck"].height))
        return []
@hookimpl
def tracekit_systems():
    return [Acme]
"""
    install(START + STUCK + diagnoses("stuck") + system)
    run(LOG)
    assert (tmp_path / "told").read_text() == "acme_stuck,kernel_version1"


def test_a_system_that_raises(install: Install) -> None:
    system = """
from tracekit import System
class Acme(System):
    @classmethod
    def instances(cls, machines, tables):
        raise OSError("away")
@hookimpl
def tracekit_systems():
    return [Acme]
"""
    install(START + STUCK + diagnoses("stuck") + system)
    assert own() == ["failed to replay Acme: OSError: away"]


def test_the_list_of_plugins_tells_all_that_is_wrong(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(START + LIVES.replace("on_acme_stuck", "on_acme_other") + models("Lives"), events="start: (")
    list_plugins()
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("acme 1.2: 1 model, 1 grammar folder")
    assert lines[at + 1].startswith(f"  {NAMED}has a grammar to mend: ")
    assert lines[at + 2 : at + 4] == ["    start: (", f"    {' ' * 8}^"]
    assert lines[at + 4] == f"  {NAMED}is wrong: model Lives asks for a table acme_other, which nothing gives; did you mean acme_lives?"


def test_what_is_wrong_with_a_grammar_is_told_again_from_the_cache(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install(START + STUCK + diagnoses("stuck"), events=GRAMMAR + "x: (\n")
    first = own()
    assert first[0].startswith("has a grammar to mend: ")
    monkeypatch.setattr("tracekit.grammar.lowering.lower_file", None)
    assert own() == first


GATED = """
from tracekit import Gate, Since

@hookimpl
def tracekit_gates():
    since = (Since((1, 2), "x86", commit="0123456789ab"),)
    return [
        Gate("AV1", "acme-rings", "Acme", "Rings.", "All.", ("a line",), since),
        Gate("KV2", "acme-domains", "Acme", "Taken.", "All.", ("a line",), since),
        Gate("nonsense", "acme", "Acme", "Wrong.", "All.", ("a line",), since),
    ]

@diagnosis("acme.late", code="ACME-003", severity="high", record="dmesg", gates=("AV1", "AV9"))
def late(acme_stuck):
    "Affected: {AV1}, {ZV7}."
    yield Finding("late", "proven", (), HOST, advice="Use {AV1}.")

@hookimpl
def tracekit_diagnoses():
    return [late]
"""


def test_a_plugin_brings_gates_and_each_reference_is_checked(install: Install) -> None:
    install(START + GATED)
    result = run(LOG)
    errors = [e for e in result.errors if e.startswith(NAMED)]
    assert [e.removeprefix(NAMED) for e in errors] == [
        "failed to answer tracekit_gates: TypeError: gate nonsense acme: a code is like KV2, a name like device-msi-domains",
        "is wrong: gate KV2 acme-domains is left out, KV2 is taken by tracekit_linux",
        "is wrong: diagnosis ACME-003 acme.late asks for a gate AV9, which nothing declares; did you mean KV9?",
        "is wrong: diagnosis ACME-003 acme.late asks for a gate ZV7, which nothing declares; did you mean KV7?",
    ]
    assert [f.advice for f in result.findings if f.code == "ACME-003"] == ["Use Acme 1.2."]
