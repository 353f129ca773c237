"""Conventions worth having: what packaging, plugins, diagnoses, grammars and modules have in common."""

import ast
import inspect
import re
import subprocess
import sys
import textwrap
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tracekit import numbers
from tracekit.diagnosing.diagnoses import Diagnosis
from tracekit.grammar import load as grammar
from tracekit.plugins import registry as plugins
from tracekit.types import ENVELOPE

pytestmark = pytest.mark.no_cover

ROOT = Path(__file__).parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PLUGINS = sorted(p.name for p in (ROOT / "plugins").iterdir() if p.is_dir() and p.name.startswith("tracekit_"))
MODULES = sorted([*(ROOT / "tracekit").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
DIAGNOSES = plugins.load().diagnoses
SECTIONS = ("What it finds:", "Why it matters:", "Stays quiet when:", "Affected:", "What to do:", "References:")


def test_packages_are_the_folders() -> None:
    places = SETTINGS["tool"]["setuptools"]["package-dir"]
    assert sorted(places) == sorted(["tracekit", "tracekit_grammars", *PLUGINS])
    packages = [
        ".".join((package, *init.parent.relative_to(ROOT / folder).parts))
        for package, folder in places.items()
        for init in (ROOT / folder).rglob("__init__.py")
    ]
    grammars = ["tracekit_grammars", "tracekit_grammars.envelopes", "tracekit_grammars.events"]
    assert SETTINGS["tool"]["setuptools"]["packages"] == sorted([*packages, *grammars])


def test_the_picture_of_the_packages_is_true() -> None:
    assert subprocess.run([sys.executable, ROOT / "docs" / "rooms.py", "--check"], check=False).returncode == 0, "python docs/rooms.py"


def test_every_plugin_enters_by_its_entry_point_and_is_under_contract() -> None:
    assert sorted(SETTINGS["project"]["entry-points"]["tracekit"]) == PLUGINS
    for contract in SETTINGS["tool"]["importlinter"]["contracts"][2:]:
        assert (contract.get("source_modules") or contract["modules"]) == PLUGINS, contract["name"]


def test_no_built_in_plugin_has_errors() -> None:
    assert [e for p in plugins.load().plugins for e in p.errors] == []


def test_codes_and_names_are_unique() -> None:
    assert DIAGNOSES
    assert len({d.code for d in DIAGNOSES}) == len({d.name for d in DIAGNOSES}) == len(DIAGNOSES)


@pytest.mark.parametrize("d", DIAGNOSES, ids=lambda d: d.code)
def test_a_diagnosis_is_named_for_its_family_and_lives_in_its_own_file(d: Diagnosis) -> None:
    family, _, slug = d.name.partition(".")
    assert re.fullmatch(r"[A-Z]+-[0-9]{3}", d.code)
    assert family.startswith(d.code.partition("-")[0].lower())
    assert Path(d.function.__code__.co_filename).stem == slug.replace("-", "_")
    assert not re.search(r"[A-Z]+_?[0-9]{3}", Path(d.function.__code__.co_filename).stem)


@pytest.mark.parametrize("d", DIAGNOSES, ids=lambda d: d.code)
def test_a_diagnosis_has_a_page_with_every_section_in_order(d: Diagnosis) -> None:
    places = [d.page.find(s) for s in SECTIONS]
    assert -1 not in places, [s for s, p in zip(SECTIONS, places, strict=True) if p < 0]
    assert places == sorted(places)
    assert d.page.splitlines()[0].endswith(".")
    assert d.record, "what to record where its tables are missing"


@pytest.mark.parametrize("d", DIAGNOSES, ids=lambda d: d.code)
def test_a_diagnosis_has_a_test_or_a_sample(d: Diagnosis) -> None:
    texts = [
        p.read_text(encoding="utf-8") for p in (*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "sample_traces").rglob("expected.toml"))
    ]
    assert any(f'"{d.code}"' in t for t in texts)


@pytest.mark.parametrize("path", [p for p in MODULES if "plugins/tracekit_" in str(p)], ids=lambda p: f"{p.parent.name}.{p.stem}")
def test_numbers_of_interfaces_and_segments_of_bdfs_stand_once_in_the_core(path: Path) -> None:
    assert repeated_numbers(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("code", ["EINVAL = -22", "A, VFIO_MSIX = 1, 2", "bad = ret == -34", "full = f'0000:{bdf}'"])
def test_a_repeated_number_is_found(code: str) -> None:
    assert repeated_numbers(ast.parse(code)) != []


def repeated_numbers(tree: ast.Module) -> list[str]:
    """Names of `tracekit.numbers` that a module gives itself, errnos written as numbers (but -1: no descriptor), segments put before a BDF."""
    errnos = {-value for name, value in vars(numbers).items() if name.startswith("E")} - {1}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and hasattr(numbers, node.id):
            found.append(f"{node.lineno}: {node.id}")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            found += [f"{node.lineno}: -{node.operand.value}"] if node.operand.value in errnos else []
        elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant) and str(node.values[0].value).startswith("0000:"):
            found.append(f"{node.lineno}: a segment")
    return found


def test_columns_of_rules_never_take_the_names_of_the_envelope() -> None:
    rules = grammar.load().events
    assert len(rules) > 20
    assert {n: set(r.columns) & set(ENVELOPE) for n, r in rules.items() if set(r.columns) & set(ENVELOPE)} == {}


# Words that are names of rules too, and why a module of the core may write them.
CLOCK = "the name of a clock, a value of the mark `clock`"
PROJECT = "the project, by which releases are kept"
TYPED = "the trace event's name in the kernel or QEMU, for the user to type"
KEY = "a field of an envelope, and a key of `dmesg --json`"
WRITTEN = {
    "diagnosing/diagnoses.py": {"printk": CLOCK},
    "parsing/envelopes.py": {"ftrace": CLOCK},
    "parsing/objects.py": {"caller": KEY},
    "parsing/peeling.py": {"caller": KEY},
    "replay/clock.py": {"printk": CLOCK},
    **{name: {"xen": PROJECT} for name in ("batch/fleet.py", "batch/results.py", "batch/rows.py", "cli/sample.py")},
    "diagnosing/subjects.py": {"irq_handler_entry": TYPED},
    "numbers.py": {"vector_alloc": "the event whose arguments some kernels swap, in a comment"},
    "parsing/complaint.py": {"io_page_fault": "the word of a line: IO_PAGE_FAULT"},
}


@cache
def grammars() -> grammar.Grammars:
    return grammar.load()


@pytest.mark.parametrize("path", sorted((ROOT / "tracekit").rglob("*.py")), ids=lambda p: f"{p.parent.name}.{p.stem}")
def test_no_module_of_the_core_knows_a_rule_by_name(path: Path) -> None:
    """A name of several words stands nowhere, not even in a comment; one of a word, which may be an English one, is no constant."""
    own = path.relative_to(ROOT / "tracekit").as_posix()
    if own == "diagnosing/recipes.py":  # shell commands, which type the names of trace events
        return
    written = rules_named(path.read_text(encoding="utf-8"), {*grammars().events, *grammars().envelopes})
    assert written == WRITTEN.get(own, {}).keys()


def rules_named(text: str, rules: set[str]) -> set[str]:
    """The names of rules that a module holds."""
    constants = {n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    words = set(re.findall(r"[A-Za-z0-9_]+", text))
    return {n for n in rules if n in constants or ("_" in n and n in words)}


def test_the_name_of_a_rule_is_noticed() -> None:
    text = """'as in vector_alloc'; x = {"perf": 1}; y = "perf is English"; caller = 1  # boot_marker"""
    assert rules_named(text, {"vector_alloc", "perf", "caller", "boot_marker", "gap"}) == {"vector_alloc", "perf", "boot_marker"}


def test_every_event_rule_is_described() -> None:
    assert [n for n, r in grammar.load().events.items() if not r.doc.strip()] == []


def test_every_table_that_is_asked_for_exists() -> None:
    registry = plugins.load()
    emitted = {t for m in registry.models for t in m.emits()}
    known = {*grammar.load(registry.grammars).events, *emitted, "divergences", "streams", "sources"}
    assert {d.code: sorted({*d.needs, *d.wants} - known) for d in DIAGNOSES if {*d.needs, *d.wants} - known} == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: f"{p.parent.name}.{p.stem}")
def test_modules_are_small_documented_and_finished(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 450
    assert path.stem not in ("utils", "util", "helpers", "misc", "common")
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)
    assert _undocumented(ast.parse(text)) == []


def _described(tree: ast.Module) -> set[str]:
    """Names of the methods that have a docstring."""
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    return {f.name for c in classes for f in c.body if isinstance(f, ast.FunctionDef) and ast.get_docstring(f)}


INTERFACES = {name for path in MODULES for name in _described(ast.parse(path.read_text(encoding="utf-8")))}


def _undocumented(tree: ast.Module) -> list[str]:
    """Public names without a docstring; `on_*`, and methods that a base class or protocol of the project describes, are exempt."""
    missing = [] if ast.get_docstring(tree) else ["module"]
    for outer in tree.body:
        inside = outer.body if isinstance(outer, ast.ClassDef) and not outer.name.startswith("_") else ()
        for node in (outer, *inside):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not re.match("_|on_", node.name) and not ast.get_docstring(node):
                missing.append(node.name)
    return [n for n in missing if n not in INTERFACES]


def test_the_project_names_no_machine() -> None:
    files = [p for p in ROOT.rglob("*") if p.suffix in {".py", ".md", ".toml", ".lark"} and ".venv" not in p.parts and p.is_file()]
    assert len(files) > 20
    found = [str(p) for p in files if re.search(r"(?<![\w.])/(work|home|root)/\w", p.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize("path", [p for p in MODULES if "reports" not in str(p) and "plugins/tracekit_" in str(p)], ids=lambda p: p.stem)
def test_not_evaluated_is_said_by_the_engine_alone(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    assert "not_evaluated" not in {n.id for n in nodes if isinstance(n, ast.Name)}
    assert "not evaluated" not in {n.value for n in nodes if isinstance(n, ast.Constant)}


@pytest.mark.parametrize("d", DIAGNOSES, ids=lambda d: d.code)
def test_a_diagnosis_takes_no_table_that_it_does_not_read(d: Diagnosis) -> None:
    functions = [d.function, *(w.function for w in d.witnesses)]
    for function in functions:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
        assert isinstance(tree, ast.FunctionDef)
        read = {n.id for statement in tree.body for n in ast.walk(statement) if isinstance(n, ast.Name)}
        unread = {a.arg for a in (*tree.args.args, *tree.args.kwonlyargs)} - read
        # A witness may need a table only to be asked where it has rows.
        assert not unread - {n for w in d.witnesses if w.function is function for n in w.needs}


@pytest.mark.parametrize("d", DIAGNOSES, ids=lambda d: d.code)
def test_a_missing_table_of_a_model_is_told_in_words(d: Diagnosis) -> None:
    models = {t for m in plugins.load().models for t in m.emits()}
    asked = {*d.needs, *d.needs_any, *(s.table for s in d.shown_by)}
    assert d.absent or d.log or asked.isdisjoint(models)


@pytest.mark.parametrize("d", DIAGNOSES, ids=lambda d: d.code)
def test_a_diagnosis_says_what_would_have_shown_its_fault(d: Diagnosis) -> None:
    assert d.log or d.shown_by
