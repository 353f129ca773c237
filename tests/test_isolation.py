"""Plugins of others in a process of their own: whatever one does there costs itself, is named, and gets into no report."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import packages
import pytest
from acme import GRAMMAR, NAMED, START, STUCK
from commands import tracekit
from packages import single

from tracekit.batch.results import Results
from tracekit.plugins import registry as plugins
from tracekit.plugins.isolation import Isolation

LOG = """\
[    1.000000] Linux version 6.12.0 (builder) #1 SMP
[    2.000000] acme 0000:03:00.0: ring 2 made no progress
"""
BAD = """
@diagnosis("acme.bad", code="ACME-002", severity="high", record="dmesg")
def bad(acme_stuck):
    "Bad."
    BODY
    yield clear()

@hookimpl
def tracekit_diagnoses():
    return [bad, stuck]
"""
GOOD = BAD.replace("BODY", "pass")
HOG = "held = [b'x' * (i + (1 << 20)) for i in range(1 << 20)]"
Analyze = Callable[..., tuple[int, dict, str]]
Install = Callable[..., tuple[list[str], dict[str, str]]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache of lowered grammars that only these tests use."""
    return packages.cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def install(tmp_path: Path, cache: str) -> Install:
    """Install a plugin beside a log; the arguments that analyze it, and the environment that has the plugin."""
    (tmp_path / "dmesg.txt").write_text(LOG)

    def arguments(source: str, *options: str, form: str = "json") -> tuple[list[str], dict[str, str]]:
        if not (tmp_path / "tracekit_acme_module.py").exists():
            single(tmp_path, START + source, events=GRAMMAR)
        return ["analyze", str(tmp_path / "dmesg.txt"), "-f", form, *options], {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": cache}

    return arguments


@pytest.fixture
def analyze(tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch) -> Iterator[Analyze]:
    """Install a plugin and analyze the log with it: (exit status, report, standard error)."""

    def run(source: str, *options: str, form: str = "json") -> tuple[int, dict, str]:
        arguments, env = install(source, *options, form=form)
        done = tracekit(*arguments, **env)
        return done.returncode, json.loads(done.stdout) if form == "json" else {"text": done.stdout}, done.stderr

    monkeypatch.syspath_prepend(str(tmp_path))
    yield run
    sys.modules.pop("tracekit_acme_module", None)


@pytest.fixture
def analyze_apart(install: Install) -> Analyze:
    """The same in a process of its own, whose descriptors and children are looked at."""

    def run(source: str, *options: str, form: str = "json") -> tuple[int, dict, str]:
        arguments, env = install(source, *options, form=form)
        command = [sys.executable, "-m", "tracekit", *arguments]
        done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        return done.returncode, json.loads(done.stdout) if form == "json" else {"text": done.stdout}, done.stderr

    return run


def outcome(report: dict, code: str = "ACME-002") -> tuple[str, str]:
    (told,) = (o for o in report["outcomes"] if o["code"] == code)
    return told["outcome"], told["reason"]


def codes(report: dict) -> set[str]:
    return {f["code"] for f in report["findings"]}


IT = "the diagnosis ACME-002 acme.bad "
# What a diagnosis does -> what is said of it.
BODIES = {
    "os._exit(3)": "ended its process (status 3)",
    "ctypes.string_at(0)": "ended its process (signal 11)",
    "os.kill(os.getpid(), 15)": "ended its process (signal 15)",
    "while True: pass": "took longer than 2 s",
    "os.kill(os.getpid(), 19)": "took longer than 2 s",
    HOG: "took more memory than 300 MiB",
    "os.closerange(3, 100); time.sleep(9)": "closed its connection",
    "sys.exit(4)": "SystemExit: 4",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise BaseException('x\\udc80')": "BaseException: x\\udc80",
    "f = lambda: f(); f()": "RecursionError: maximum recursion depth exceeded",
    "class E(Exception): __str__ = None\n    raise E": "E: its message cannot be read",
    "yield Finding('x\\udc80', 'proven', ())": "ValueError: it yielded a Finding whose summary holds a lone surrogate: x\\udc80",
    "yield Finding('x', 'proven', (), values={'a': float('nan')})": "ValueError: it yielded a Finding whose values hold nan, which is no number in JSON",
    "yield Finding('x', 'proven', (), values={'a': [{'b': print}]})": "TypeError: it yielded a Finding with values that are no text and no numbers: {'a': [{'b': <built-in function print>}]}",
    "v = []; v.append(v); yield Finding('x', 'proven', (), values={'a': v})": "TypeError: it yielded a Finding with values that are no text and no numbers: {'a': [[...]]}",
    "yield Finding('x', 'proven', (Evidence('a', 2**70),))": "TypeError: it yielded a Finding with the evidence Evidence(source='a', line=1180591620717411303424, role='context', line_end=None, text='', also=(), t",
    "yield Verdict('fine', '')": "ValueError: it yielded a Verdict of outcome 'fine'",
    "yield Verdict('clear', 7)": "TypeError: it yielded a Verdict whose reason is a int, not a str",
    "for i in range(20000): yield Finding('x', 'proven', ())": "ValueError: it yielded more than 10,000 findings",
    "os.fork(); yield clear()": None,
}
DEATHS = ("ended", "took", "closed")


def test_a_diagnosis_costs_itself_and_the_rest_goes_on(analyze: Analyze) -> None:
    many = [
        f'@diagnosis("bad.n{n}", code="BAD-{n}", severity="high", record="dmesg")\ndef bad{n}(acme_stuck):\n    {body}\n    yield clear()\n'
        for n, body in enumerate(BODIES)
    ]
    names = ", ".join(["stuck", *(f"bad{n}" for n in range(len(many)))])
    source = "\n".join([STUCK, *many, f"@hookimpl\ndef tracekit_diagnoses():\n    return [{names}]\n"])
    status, report, err = analyze(source, "--plugin-time", "2", "--plugin-memory", "300M")
    told = {}
    for n, reason in enumerate(BODIES.values()):
        if reason is not None and reason.startswith(DEATHS):
            told[f"BAD-{n}"] = f"{NAMED}was stopped: the diagnosis BAD-{n} bad.n{n} {reason}"
        elif reason is not None:
            told[f"BAD-{n}"] = f"{NAMED}failed to run BAD-{n} bad.n{n}: {reason}"
    outcomes = {o["code"]: (o["outcome"], o["reason"]) for o in report["outcomes"]}
    assert {code: outcomes[code] for code in told} == {code: ("not evaluated", reason) for code, reason in told.items()}
    assert sorted(report["errors"]) == sorted(told.values())
    assert {line for line in err.splitlines() if line.startswith("tracekit: ")} == {f"tracekit: {reason}" for reason in told.values()}
    assert (status, codes(report), report["trust"]["trusted"]) == (1, {"ACME-001"}, False)


def test_what_remains_without_a_finding_is_no_all_clear(analyze_apart: Analyze) -> None:
    status, report, _ = analyze_apart(BAD.replace("BODY", "os._exit(0)").replace("[bad, stuck]", "[bad]"))
    assert (status, outcome(report)) == (3, ("not evaluated", f"{NAMED}was stopped: {IT}ended its process (status 0)"))


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("os._exit(5)", "was stopped: loading it ended its process (status 5)"),
        ("while True: pass", "was stopped: loading it took longer than 2 s"),
        ("sys.exit(5)", "failed to load: SystemExit: 5"),
        ("raise KeyboardInterrupt", "failed to load: KeyboardInterrupt"),
        (
            STUCK + BAD.replace("BODY", "pass").replace("return [bad", "raise GeneratorExit\n    return [bad"),
            "failed to answer tracekit_diagnoses: GeneratorExit",
        ),
        (STUCK + GOOD + "\n@hookimpl\ndef tracekit_machines(): return [3]", "it returned a list, not a dictionary of classes by name"),
        (
            STUCK + GOOD + "\n@hookimpl\ndef tracekit_gates(): return [Gate('AV1', 'a-b', 'A', 7, 'x', (), (Since((1,)),))]",
            "gate AV1: project,",
        ),
        (STUCK + GOOD.replace('record="dmesg"', "record=7"), "'acme.bad': name, code, record and docstring are texts"),
        (STUCK + GOOD.replace('code="ACME-002"', "code=7"), "'acme.bad': name, code, record and docstring are texts"),
    ],
)
def test_loading_costs_the_plugin_and_nothing_else(analyze: Analyze, source: str, error: str) -> None:
    for mode in ("foreign", "none"):
        if mode == "none" and "stopped" in error or "Keyboard" in error:
            continue
        status, report, _ = analyze(source, "--plugin-time", "2", "--isolate", mode)
        assert [e for e in report["errors"] if e.startswith(NAMED) and error in e] == report["errors"] != []
        assert len(report["outcomes"]) > 40
        assert status == (1 if "ACME-001" in codes(report) else 3)


LIVES = """
LIVES = Table("acme_lives", "A stuck ring.", (Column("ring", pl.Int64(), "Number of the ring."),))

class Lives(Model):
    tables = (LIVES,)
    def on_acme_stuck(self, e):
        BODY
        self.emit("acme_lives", e, ring=e.ring)

@hookimpl
def tracekit_models():
    return [Lives]

@diagnosis("acme.lives", code="ACME-003", severity="high", record="dmesg")
def lives(acme_lives):
    "Lives."
    for e in acme_lives.iter_rows(named=True):
        yield Finding(f"ring {e['ring']} is stuck", "proven", (Evidence(e["source"], e["line"], "cause"),))
"""


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("os._exit(3)", "was stopped: the model Lives ended its process (status 3)"),
        ("while True: pass", "was stopped: the model Lives took longer than 2 s"),
        ("sys.exit(3)", "failed to replay Lives: SystemExit: 3"),
        ("return self.emit('acme_lives', e, ring=object())", None),
        ("return self.emit('acme_lives', e, ring='x\\udc80')", None),
        ("return self.emit('acme_lives', e, ring=float('nan'))", None),
    ],
)
def test_a_model_costs_itself(analyze: Analyze, body: str, error: str | None) -> None:
    source = LIVES.replace("BODY", body) + STUCK + GOOD.replace("[bad, stuck]", "[stuck, lives]")
    status, report, _ = analyze(source, "--plugin-time", "2")
    assert (status, codes(report) - {"ACME-003"}) == (1, {"ACME-001"}), report["errors"]
    assert error is None or report["errors"] == [f"{NAMED}{error}"]


REPORT = """
class Acme:
    name = "acme"
    def write(self, run, options):
        BODY
@hookimpl
def tracekit_reports():
    return [Acme]
"""


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("os._exit(3)", "was stopped: the report acme ended its process (status 3)"),
        ("sys.exit(3)", "failed to write the report acme: SystemExit: 3"),
        ("return 3", "failed to write the report acme: TypeError: it returned int, not text"),
    ],
)
def test_a_report_costs_itself(analyze: Analyze, body: str, error: str) -> None:
    status, report, err = analyze(STUCK + GOOD + REPORT.replace("BODY", body), form="acme")
    assert (status, err) == (1, f"tracekit: {NAMED}{error}; the page of the terminal instead\n")
    assert report["text"].startswith("1 finding (1 proven)")


def test_a_report_that_is_no_text_goes_into_a_file(analyze: Analyze, tmp_path: Path) -> None:
    source = (
        STUCK
        + GOOD
        + REPORT.replace("BODY", "return b'\\xff\\x00' if run.findings else 'text'").replace('"acme"', '"acme"\n    binary = True')
    )
    out = tmp_path / "out"
    status, report, err = analyze(source, "-o", str(out), form="acme")
    assert (status, report["text"], err, out.read_bytes()) == (1, "", "", b"\xff\x00")
    assert analyze(source, form="acme")[::2] == (2, "tracekit: --format acme is no text: give a file, as in -f acme=FILE\n")


SYSTEM = """
class Rings(System):
    reads = ("acme_stuck",)
    fixes = (Fix("less", True, ("ACME-001",), "use fewer rings"),)
    switches = ("less",)

    @classmethod
    def instances(cls, machines, tables):
        BODY
        return [cls()] if "VfioDevice" in machines else []

    def gates(self): return {"less": False}
    def faults(self, gates): return frozenset() if gates["less"] else frozenset({"ACME-001"})

@hookimpl
def tracekit_systems():
    return [Rings]
"""


@pytest.mark.parametrize("mode", ["all", "foreign", "none"])
def test_all_parts_of_a_plugin_are_heard_wherever_they_run(analyze: Analyze, mode: str) -> None:
    source = STUCK + GOOD.replace("[bad, stuck]", "[bad, stuck, lives]") + LIVES.replace("BODY", "pass") + SYSTEM.replace("BODY", "pass")
    source += REPORT.replace("BODY", "return f'{len(run.findings)} of {len(run.outcomes)}'")
    status, report, err = analyze(source, "--isolate", mode)
    told = [(f["code"], f["summary"], f["fixes"], f["confirmed_by_replay"]) for f in report["findings"]]
    assert (status, report["errors"], err) == (1, [], "")
    assert told == [("ACME-001", "ring 2 is stuck", ["use fewer rings"], True), ("ACME-003", "ring 2 is stuck", [], None)]
    assert outcome(report)[0] == "clear"
    assert analyze(source, "--isolate", mode, form="acme")[1]["text"] == f"2 of {len(report['outcomes'])}"


def test_a_system_costs_itself(analyze: Analyze) -> None:
    status, report, _ = analyze(STUCK + GOOD + SYSTEM.replace("BODY", "os._exit(3)"))
    assert (status, codes(report)) == (1, {"ACME-001"})
    assert report["errors"] == [f"{NAMED}was stopped: the system Rings ended its process (status 3)"]


@pytest.mark.parametrize("mode", ["foreign", "none"])
def test_what_a_plugin_prints_gets_into_no_report(analyze_apart: Analyze, mode: str) -> None:
    said = "print('hello'); os.write(1, b'world\\n'); os.system('echo shell')"
    source = STUCK + BAD.replace("BODY", said) + LIVES.replace("BODY", said) + f"\n{said}\n"
    source += REPORT.replace("BODY", f"{said}\n        return 'the report'")
    status, report, err = analyze_apart(source, "--isolate", mode, form="acme")
    assert (status, report) == (1, {"text": "the report"})
    assert [err.count(word) for word in ("hello", "world", "shell")] == [4, 4, 4]


@pytest.mark.parametrize("mode", ["foreign", "none"])
def test_debug_shows_where_a_plugin_raised(analyze: Analyze, mode: str) -> None:
    source = STUCK + BAD.replace("BODY", "return deeper(acme_stuck)") + "\ndef deeper(rows):\n    raise KeyError('gone')\n"
    assert "Traceback" not in analyze(source, "--isolate", mode)[2]
    err = analyze(source, "--isolate", mode, "--debug")[2]
    assert "Traceback" in err and "tracekit_acme_module.py" in err and "in deeper" in err and "raise KeyError('gone')" in err


def test_two_plugins_have_a_process_each(analyze: Analyze, tmp_path: Path) -> None:
    single(tmp_path, "import os; os._exit(1)", "other")
    status, report, _ = analyze(STUCK + GOOD)
    assert (status, codes(report)) == (1, {"ACME-001"})
    assert report["errors"] == ["plugin other 1.2 was stopped: loading it ended its process (status 1)"]


def test_shipped_plugins_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", never)
    assert [p.name for p in plugins.load(isolation=Isolation()).plugins if p.apart] == []


def test_no_process_outlives_the_analysis(analyze_apart: Analyze, tmp_path: Path) -> None:
    body = f"open({str(tmp_path / 'pids')!r}, 'a').write(f'{{os.getpid()}}\\n')"
    analyze_apart(STUCK + BAD.replace("BODY", f"{body}; os.system('sleep 100 & echo $! >> {tmp_path}/pids')"))
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    end = time.monotonic() + 20
    while any(map(_lives, pids)) and time.monotonic() < end:
        time.sleep(0.1)
    assert len(pids) == 2 and not any(map(_lives, pids))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_usage(analyze: Analyze, tmp_path: Path) -> None:
    for options in (["--isolate", "some"], ["--plugin-memory", "much"]):
        done = subprocess.run([sys.executable, "-m", "tracekit", "analyze", "x", *options], capture_output=True, text=True)
        assert (done.returncode, options[0] in done.stderr) == (2, True), done.stderr


def test_in_a_batch_the_case_goes_on(analyze: Analyze, tmp_path: Path, cache: str) -> None:
    body = "os._exit(3) if 1 in acme_stuck['ring'] else print('to standard error')"
    single(tmp_path, START + STUCK + BAD.replace("BODY", body), events=GRAMMAR)
    (tmp_path / "logs").mkdir()
    for ring in range(4):
        (tmp_path / "logs" / f"{ring}.log").write_text(LOG.replace("ring 2", f"ring {ring}"))
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": cache}
    command = [sys.executable, "-m", "tracekit", "batch", str(tmp_path / "logs"), "-o", str(tmp_path / "r"), "-j", "1"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.partition(",")[0], done.stderr) == (1, "4 cases analyzed", "")
    kept = Results(tmp_path / "r")
    told = kept.table("outcomes").filter(code="ACME-002").select("case", "outcome", "reason").sort("case").collect().rows()
    assert [(Path(c).stem, outcome) for c, outcome, _ in told] == [("0", "clear"), ("1", "not evaluated"), ("2", "clear"), ("3", "clear")]
    assert told[1][2] == f"{NAMED}was stopped: {IT}ended its process (status 3)"
    assert kept.table("findings").filter(code="ACME-001").collect().height == 4
    assert [len(d) for d in kept.table("cases").sort("case").collect()["doubts"]] == [0, 1, 0, 0]


def test_a_batch_leaves_time_for_the_rest_of_a_case() -> None:
    assert Isolation().within(300.0).seconds == 30.0
    assert Isolation().within(10.0).seconds == 2.5


def test_a_run_says_the_same_wherever_the_plugins_run(tmp_path: Path) -> None:
    case = sorted((Path(__file__).parent.parent / "sample_traces" / "msi.stale-hwsize").glob("fires-*"))[0]
    told = []
    for mode in ("all", "none"):
        files = {form: tmp_path / f"{mode}.{form}" for form in ("json", "html")}
        formats = [word for form, file in files.items() for word in ("-f", f"{form}={file}")]
        done = tracekit("analyze", case, *formats, "--isolate", mode)
        told.append((done.returncode, done.stdout, done.stderr, [file.read_text(encoding="utf-8") for file in files.values()]))
    assert told[0] == told[1]
    assert told[0][2] == ""
