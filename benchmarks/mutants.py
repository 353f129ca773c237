"""Change one guard of a diagnosis or model at a time and count how many of these changes the tests notice.

    python benchmarks/mutants.py                   # 150 changes, drawn with a fixed seed
    python benchmarks/mutants.py --count 0         # all of them
    python benchmarks/mutants.py --only stale_hwsize --count 0
    python benchmarks/mutants.py --only tracekit_vfio/models --count 50

A change is one of: a comparison turned (`<` into `<=`, `==` into `!=`, `is` into `is not`), `and` for `or`, `not` left out, a number one
higher. It is tried by the tests about its file: the samples of the diagnosis and those that expect its code, the tests of plugins that
name it; of a model all samples and tests of its family, and the tests about all plugins. All of them must pass without a change first;
that run notes which tests reach which line. A change in a function is tried by those alone that reach its lines: the tests that name the
file first, then the fast ones.
Each trial is a fork of one process that has loaded everything, and ends with the first test that fails. `equivalent.toml` has the changes
that no log can show, each with the reason; they are printed and not counted.
Exit status 1 where fewer than `--at-least` percent are noticed.
"""

import argparse
import ast
import hashlib
import importlib
import json
import os
import re
import signal
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType, FunctionType, ModuleType
from typing import Any

os.environ["POLARS_MAX_THREADS"] = "1"

import pytest

from tracekit.diagnosing.diagnoses import Diagnosis

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ("test_samples.py", "test_sample_values.py")
TESTS = (*(f"tests/{name}" for name in SAMPLES), "tests/plugins")
EVERY = ROOT / "tests/plugins"  # beside the folders of the families: tests about all plugins
AT_IMPORT = ("tests/plugins/test_absence.py",)  # it analyzes while it is collected: a fork would wait for threads that it has not
PARTS = ("diagnoses", "models")
SECONDS = 300  # a change that runs longer is noticed: it does not end
TURNED: Mapping[type[ast.AST], type[Any]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    """One change: the file, its place in `ast.walk` of it, its lines, the text there, what is done, and whether a function has it."""

    path: Path
    place: int
    lines: range
    text: str
    what: str
    inside: bool = True

    @property
    def where(self) -> str:
        """The file and line as an editor takes them."""
        return f"{self.path.relative_to(ROOT)}:{self.lines.start}"

    @property
    def module(self) -> str:
        """The name by which the file is imported."""
        return ".".join(self.path.relative_to(ROOT / "plugins").with_suffix("").parts)

    def draw(self, seed: int) -> str:
        """A number that stays where other lines of the file, or other files, change."""
        return hashlib.sha256(f"{seed} {self.path.name} {self.text} {self.what} ".encode()).hexdigest()


# Changes.


def mutants(path: Path) -> Iterator[Mutant]:
    """Yield every change of one file that leaves a program."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    statements = statement_of(tree)
    inside = {n for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.Lambda) for n in called(f)}
    for place, node in enumerate(ast.walk(tree)):
        if (what := change_of(node)) and not isinstance(around := statements[node], ast.Assert):  # it always holds
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)  # type: ignore[attr-defined]
            yield Mutant(path, place, lines, f"{header(source, around)} | {ast.get_source_segment(source, node)}", what, node in inside)


def called(function: ast.FunctionDef | ast.Lambda) -> Iterator[ast.AST]:
    """Yield what is run at a call of a function, not when it is defined."""
    for statement in function.body if isinstance(function, ast.FunctionDef) else [function.body]:
        yield from ast.walk(statement)


def statement_of(tree: ast.Module) -> dict[ast.AST, ast.stmt]:
    """The innermost statement around each node."""
    found: dict[ast.AST, ast.stmt] = {}
    for statement in (n for n in ast.walk(tree) if isinstance(n, ast.stmt)):
        found.update((n, statement) for n in ast.walk(statement))  # outer statements are walked first
    return found


def header(source: str, statement: ast.stmt) -> str:
    """The first line of a statement, without blanks around it."""
    return source.splitlines()[statement.lineno - 1].strip()


def change_of(node: ast.AST) -> str:
    """What to change at a node, or nothing where there is no guard."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in TURNED:
        return turning(node.ops[0])
    if isinstance(node, ast.BoolOp) or (isinstance(node, ast.BinOp) and type(node.op) in TURNED and "pl.col" in ast.unparse(node)):
        return turning(node.op)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        return "not left out"
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return f"{node.value} -> {node.value + 1}"
    return ""


def turning(operator: ast.AST) -> str:
    """An operator and what it is turned into."""
    return f"{type(operator).__name__} -> {TURNED[type(operator)].__name__}"


def changed(mutant: Mutant) -> ast.Module:
    """The whole tree of a file with one change."""
    tree = ast.parse(mutant.path.read_text(encoding="utf-8"))
    node: Any = next(n for i, n in enumerate(ast.walk(tree)) if i == mutant.place)
    if isinstance(node, ast.Compare):
        node.ops[0] = TURNED[type(node.ops[0])]()
    elif isinstance(node, ast.BoolOp | ast.BinOp):
        node.op = TURNED[type(node.op)]()
    elif isinstance(node, ast.UnaryOp):
        node.operand = ast.UnaryOp(node.op, node.operand)
    else:
        node.value += 1
    return ast.fix_missing_locations(tree)


def equivalents() -> list[dict[str, str]]:
    """The changes that no log can show: file, text, what, and why."""
    return list(tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text(encoding="utf-8")).get("change", []))


def excuse(mutant: Mutant, known: Sequence[Mapping[str, str]]) -> str:
    """The reason why no log can show a change, or nothing."""
    for k in known:
        if (k["file"], k["text"], k["what"]) == (mutant.path.name, mutant.text, mutant.what):
            return k["why"]
    return ""


# A module that is loaded becomes the changed one, in place.


def become(mutant: Mutant) -> None:
    """Put the code and constants of a changed file into its module, and into those that imported from it."""
    module = importlib.import_module(mutant.module)
    namespace = {"__name__": module.__name__, "__file__": module.__file__, "__package__": module.__package__}
    exec(compile(changed(mutant), str(mutant.path), "exec"), namespace)
    others = [m for name, m in sys.modules.items() if name.startswith("tracekit") and isinstance(m, ModuleType)]
    for name, new in namespace.items():
        old = vars(module).get(name)
        if not name.startswith("__") and old is not new and not graft(old, new):
            for other in (m for m in others if vars(m).get(name) is old):
                setattr(other, name, new)


def graft(old: Any, new: Any) -> bool:
    """Give a function, a class or a diagnosis the code of another; False where it is a mere value."""
    if isinstance(old, FunctionType) and isinstance(new, FunctionType):
        old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__
        return True
    if isinstance(old, type) and isinstance(new, type):
        for name, value in vars(new).items():
            special = name.startswith("__") and not isinstance(value, FunctionType)
            if not special and not graft(vars(old).get(name), value) and not isinstance(value, property):
                setattr(old, name, value)
        return True
    for inner in ("function", "__wrapped__", "__func__", "func", "fget"):  # a diagnosis, a cached function, methods, properties
        if isinstance(getattr(old, inner, None), FunctionType):
            if inner == "function":
                old.settings.update(new.settings)
                for column in ("shown_by", "when") if isinstance(old, Diagnosis) else ():
                    object.__setattr__(old, column, getattr(new, column))
            return graft(getattr(old, inner), getattr(new, inner))
    return False


# Trials.


def forked(work: Callable[[], int], seconds: int) -> int:
    """Start a silent child that does some work and ends with its status; return its id."""
    if child := os.fork():
        return child
    try:
        signal.alarm(seconds)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os._exit(work())
    except BaseException:
        os._exit(1)


def status(child: int) -> int:
    """Wait for a child; its exit status, or the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Trials:
    """What pytest runs in place of its own loop: one run without a change, then each change in a fork."""

    def __init__(self, drawn: Sequence[Mutant], jobs: int, reached: Path | None) -> None:
        self.drawn, self.jobs, self.reached = drawn, jobs, reached
        self.noticed: dict[Mutant, bool] = {}
        self.failed = False

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try each change with the tests that are about its file, if all of them pass without it."""
        if any(task.read_text() == "polars-0\n" for task in Path("/proc/self/task").glob("*/comm")):
            sys.exit("a test analyzes while it is collected: name its file in AT_IMPORT")
        tests = Tests(session.items)
        chosen = {m: tests.about(m.path) for m in self.drawn}
        union = list(dict.fromkeys(i for items in chosen.values() for i in items))
        with tempfile.TemporaryDirectory() as folder:
            kept = self.reached or Path(folder) / "reached.json"
            if not kept.exists() and status(forked(lambda: run_watched(union, kept), 20 * SECONDS)):
                self.failed = True
                return True
            seen = json.loads(kept.read_text(encoding="utf-8"))
        running: dict[int, Mutant] = {}
        for mutant, about in chosen.items():
            items = tests.reaching(mutant, about, seen)
            if len(running) >= self.jobs:
                self.wait(running)
            running[forked(partial(tried, mutant, items), SECONDS)] = mutant
        while running:
            self.wait(running)
        return True

    def wait(self, running: dict[int, Mutant]) -> None:
        """Note how one child ended."""
        child, ended = os.wait()
        mutant = running.pop(child)
        self.noticed[mutant] = os.waitstatus_to_exitcode(ended) != 0
        if not self.noticed[mutant]:
            print(f"{mutant.where}: not noticed: {mutant.what}: {mutant.text}", flush=True)


def codes_of(path: Path) -> list[str]:
    """The code of a diagnosis; of a file that diagnoses import, theirs."""
    texts = {p: p.read_text(encoding="utf-8") for p in path.parent.glob("*.py")}
    own = re.findall(r'code="([A-Z]+-[0-9]+)"', texts[path])
    return own or [
        c
        for text in texts.values()
        if f"import {path.stem}" in text or f".{path.stem} " in text
        for c in re.findall(r'code="([A-Z]+-[0-9]+)"', text)
    ]


class Tests:
    """The tests, by what they are about."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        self.items = [i for i in items if i.get_closest_marker("slow") is None]
        self.samples = {case: (case / "expected.toml").read_text(encoding="utf-8") for case in (ROOT / "sample_traces").glob("*/*-*")}
        self.texts = {i.path: i.path.read_text(encoding="utf-8") for i in self.items}

    def about(self, path: Path) -> list[pytest.Item]:
        """Return the samples of a diagnosis or that expect its code, the tests that name it; of a model its family's and all plugins'."""
        if path.parent.name == "models":
            family = path.relative_to(ROOT / "plugins").parts[0].removeprefix("tracekit_")
            return [*self.sampled(self.of(family)), *(i for i in self.items if family in i.path.parts or i.path.parent == EVERY)]
        own = f".{path.stem.replace('_', '-')}"
        codes = codes_of(path)
        words = (path.stem, *codes)
        cases = [c for c in self.samples if c.parent.name.endswith(own)]
        others = [c for c, text in self.samples.items() if any(f'"{code}"' in text for code in codes) and c not in cases]
        named = [i for i in self.items if i.path.name not in SAMPLES and any(w in self.texts[i.path] for w in words)]
        return [*self.sampled(cases), *named, *self.sampled(others)]

    def reaching(self, mutant: Mutant, items: Sequence[pytest.Item], seen: Mapping[str, Any]) -> list[pytest.Item]:
        """The tests that reach a change, likely ones first; all where it is not in a function. A test not seen yet may reach it."""
        file, lines = str(mutant.path.relative_to(ROOT)), set(mutant.lines)

        def reaches(item: pytest.Item) -> bool:
            return not mutant.inside or item.nodeid not in seen or bool(lines & set(seen[item.nodeid]["lines"].get(file, ())))

        def order(item: pytest.Item) -> tuple[bool, float]:
            return mutant.path.stem not in self.texts[item.path], seen.get(item.nodeid, {"seconds": 0.0})["seconds"]

        return sorted(filter(reaches, items), key=order)

    def sampled(self, cases: Sequence[Path]) -> list[pytest.Item]:
        """The tests of some samples."""
        ids = tuple(f"[{c.parent.name}/{c.name}]" for c in cases)
        return [i for i in self.items if i.path.name in SAMPLES and i.nodeid.endswith(ids)]

    def of(self, family: str) -> list[Path]:
        """The samples of all diagnoses of a family."""
        slugs = {p.stem.replace("_", "-") for p in (ROOT / "plugins" / f"tracekit_{family}" / "diagnoses").glob("*.py")}
        return [c for c in self.samples if c.parent.name.partition(".")[2] in slugs]


def tried(mutant: Mutant, items: Sequence[pytest.Item]) -> int:
    """Make a change and run tests; return 1 where one fails, else 0."""
    become(mutant)
    return run(items)


def run(items: Sequence[pytest.Item]) -> int:
    """Run tests up to the first that fails; return 1 where one does, else 0."""
    return int(not all(passes(item, following) for item, following in zip(items, [*items[1:], None], strict=False)))


def run_watched(items: Sequence[pytest.Item], kept: Path) -> int:
    """Run all tests without a change, and write which lines of the parts each test reaches and how long it takes."""
    seen: dict[str, Any] = {}
    prefix = f"{ROOT}/"
    names = {str(p) for part in PARTS for p in (ROOT / "plugins").glob(f"*/{part}/*.py")}
    lines: dict[str, set[int]] = {}

    def line(frame: FrameType, event: str, _: Any) -> Any:
        lines.setdefault(frame.f_code.co_filename, set()).add(frame.f_lineno)
        return line

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        return line(frame, event, argument) if frame.f_code.co_filename in names else None

    threading.settrace(watch)
    for item, following in zip(items, [*items[1:], None], strict=False):
        lines.clear()
        began = time.perf_counter()
        sys.settrace(watch)
        passed = passes(item, following)
        sys.settrace(None)
        if not passed:
            return 1
        found = {name.removeprefix(prefix): sorted(of) for name, of in lines.items()}
        seen[item.nodeid] = {"seconds": time.perf_counter() - began, "lines": found}
    kept.write_text(json.dumps(seen), encoding="utf-8")
    return 0


def passes(item: pytest.Item, following: pytest.Item | None) -> bool:
    """Run one test."""
    before = item.session.testsfailed
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    return item.session.testsfailed == before


def main() -> int:
    """Draw the changes, try them, print those that nothing noticed and the share of those that were."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=150)
    options.add_argument("--only", default="", help="a part of the paths of the files below plugins/, or `file.py:line`")
    options.add_argument("--seed", type=int, default=14)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--at-least", type=float, default=85.0)
    options.add_argument("--reached", type=Path, help="a file for what the tests reach; where it exists, they are not run without a change")
    options.add_argument("--all", action="store_true", help="print the changes that were noticed too")
    given = options.parse_args()
    word, _, line = given.only.partition(".py:")
    paths = {p: str(p.relative_to(ROOT / "plugins").with_suffix("")) for part in PARTS for p in (ROOT / "plugins").glob(f"*/{part}/*.py")}
    files = sorted(p for p, name in paths.items() if p.stem != "__init__" and word in name)
    found = sorted(
        (m for path in files for m in mutants(path) if not line or m.lines.start == int(line)), key=lambda m: (m.draw(given.seed), m.place)
    )
    drawn, known = found[: given.count or len(found)], equivalents()
    if not given.only and (stale := [k["text"] for k in known if not any(excuse(m, [k]) for m in found)]):
        print(f"equivalent.toml has changes of text that is gone: {stale}")
    excused = [(m, why) for m in drawn if (why := excuse(m, known))]
    trials = Trials([m for m in drawn if not excuse(m, known)], given.jobs, given.reached and given.reached.absolute())
    os.chdir(ROOT)
    pytest.main(["-p", "no:cacheprovider", "-p", "no:terminal", *(f"--ignore={path}" for path in AT_IMPORT), *TESTS], plugins=[trials])
    if trials.failed or not trials.noticed:
        sys.exit("tests fail without a change: mend them first")
    if given.all:
        for mutant in sorted((m for m, seen in trials.noticed.items() if seen), key=lambda m: m.where):
            print(f"{mutant.where}: noticed: {mutant.what}: {mutant.text}")
    for mutant, why in sorted(excused, key=lambda r: (r[0].path, r[0].lines.start)):
        print(f"{mutant.where}: equivalent: {mutant.what}: {mutant.text}: {why}")
    share = 100 * sum(trials.noticed.values()) / len(trials.noticed)
    print(f"{len(trials.noticed)} of {len(found)} changes tried, {share:.0f} % noticed; {len(excused)} equivalent ones left out")
    return int(share < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
