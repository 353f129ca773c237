"""Every regular expression that the program runs on input takes time in proportion to its length, whatever stands there.

Expressions are collected from the modules (compiled ones, and those written where they are used). Each one is run on runs
of single characters and on almost-matches: what its own text needs up to a repetition, then one character again and again. Polars' own
expressions are linear by construction; these are the ones that Python tries.
"""

import ast
import importlib
import pkgutil
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _constants as c
from re import _parser as parser
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from tracekit.parsing import capture
from tracekit.parsing.envelopes import Layout
from tracekit.pipeline import Engine
from tracekit.redaction.contexts import CONTEXTS
from tracekit.redaction.values import SHAPES

PACKAGES = ["tracekit", *(f"tracekit_{n}" for n in ("irq", "linux", "msi", "reports", "systems", "vfio", "xen"))]
METHODS = ("match", "search", "fullmatch", "sub", "subn", "findall", "finditer", "split")
SHORT, LONG = 10_000, 20_000
FLOOR_S = 0.05  # below this of CPU time twice the length says nothing, and hurts nobody
RATIO = 3.0  # a linear one takes twice as long for twice the text, a quadratic one four times
RUNS = [
    *" \t\r0a[](){}\"',:;=-+._<>|\\/*#@&%\x1b\x00é",
    "0x",
    "f:",
    "a ",
    "a, ",
    "[0] ",
    "(a) ",
    "a: ",
    '"a",',
    "> ",
    "00:00.0 ",
    "a=1 ",
    "\\x00",
    "\n",
    "a\n",
]
PUMPED = "0a :,.([-"


@dataclass(frozen=True)
class Used:
    """An expression, the method that it is used with, and where."""

    pattern: "re.Pattern[Any]"
    method: str
    where: str


# Not run on the text of a log: grammars, the command line, names that plugins declare, and names of files, which have at most 4096 characters; nor on more than the first
# 500 characters of a sentence.
OTHERS = (
    *("tracekit.grammar", "tracekit.cli", "tracekit.reading.bundle"),
    *("tracekit_irq.complaint", "tracekit_irq.silence"),
    *("tracekit.plugins.parts", "tracekit.replay.gates"),
)


def modules() -> Iterator[ModuleType]:
    for package in PACKAGES:
        root = importlib.import_module(package)
        yield root
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not found.name.endswith("__main__") and not found.name.startswith(OTHERS):
                yield importlib.import_module(found.name)


def compiled(module: ModuleType, texts: dict[str, str]) -> Iterator[Used]:
    """The expressions that a module keeps, with each method that some module calls on their name; a search where none is seen."""
    for name, value in vars(module).items():
        for pattern in patterns(value):
            called = re.compile(rf"\b{re.escape(name)}(?:\[[^\]]*\])?\.({'|'.join(METHODS)})\b")
            handed = "match" if "pattern.match" in texts.get(module.__name__, "") else "search"  # to a function that uses it
            methods = {m[1] for text in texts.values() for m in called.finditer(text)} or {handed}
            yield from (Used(pattern, method, f"{module.__name__}.{name}") for method in methods)


def patterns(value: object, depth: int = 0) -> Iterator["re.Pattern[Any]"]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth < 3 and isinstance(value, list | tuple | set | frozenset | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from patterns(inner, depth + 1)


def of_redaction() -> Iterator[Used]:
    """The expressions of values and of the words around names."""
    for kept in (*SHAPES, *CONTEXTS):
        yield Used(kept.expression, "sub", f"tracekit.redaction: {kept.kind} {kept.expression.pattern}")


def written(text: str, name: str) -> Iterator[Used]:
    """The expressions that stand in calls: `re.search("..", text)`, `re.compile("..").sub`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "re" and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str | bytes) and node.func.attr in (*METHODS, "compile"):
                if str(first.value).startswith(r"\(\?"):  # it rewrites expressions
                    continue
                handed = "match" if "pattern.match" in text else "search"
                method = handed if node.func.attr == "compile" else node.func.attr
                flags = re.S if ", re.S)" in ast.unparse(node) else re.M if ", re.M)" in ast.unparse(node) else 0
                yield Used(re.compile(first.value, flags), method, f"{name}:{node.lineno}")


def of_modules() -> list[Used]:
    loaded = list(dict.fromkeys(modules()))
    texts = {m.__name__: Path(str(m.__file__)).read_text(encoding="utf-8") for m in loaded if m.__file__}
    kept = [*(u for m in loaded for u in compiled(m, texts)), *of_redaction()]
    known = {u.pattern for u in kept}
    return list(dict.fromkeys(kept + [u for name, text in texts.items() for u in written(text, name) if u.pattern not in known]))


def shortest(tree: Iterable[Any]) -> str:
    """A text that a part of an expression matches, or nearly."""
    return "".join(map(_shortest, tree))


def _shortest(step: Any) -> str:
    kind, value = step
    if kind is c.LITERAL:
        return chr(value)
    if kind is c.NOT_LITERAL or kind is c.ANY:
        return "a" if value != ord("a") else "b"
    if kind is c.IN:
        members: list[str] = [m for m in map(_member, value) if m]
        return members[0] if members else "~"
    if kind is c.BRANCH:
        return shortest(value[1][0])
    if kind is c.SUBPATTERN:
        return shortest(value[3])
    if kind is c.ATOMIC_GROUP:
        return shortest(value)
    if kind in REPEATS:
        return shortest(value[2]) * int(value[0])
    return ""


REPEATS = (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT)
_CATEGORIES = {c.CATEGORY_DIGIT: "0", c.CATEGORY_SPACE: " ", c.CATEGORY_WORD: "a", c.CATEGORY_NOT_SPACE: "a", c.CATEGORY_NOT_DIGIT: "a"}


def _member(member: Any) -> str:
    kind, value = member
    if kind is c.LITERAL:
        return chr(value)
    return chr(value[0]) if kind is c.RANGE else str(_CATEGORIES.get(value, " ")) if kind is c.CATEGORY else ""


def heads(tree: Iterable[Any], before: str = "") -> Iterator[str]:
    """What stands before each repetition without an end."""
    for kind, value in tree:
        if kind in REPEATS:
            if value[1] > 1000:
                yield before
            yield from heads(value[2], before)
        elif kind is c.BRANCH:
            for branch in value[1]:
                yield from heads(branch, before)
        elif kind in (c.SUBPATTERN, c.ATOMIC_GROUP):
            yield from heads(value[3] if kind is c.SUBPATTERN else value, before)
        before += _shortest((kind, value))


def inputs(used: Used) -> Iterator[tuple[str, str]]:
    """(the begin of a text, what is repeated behind it)"""
    tree = parser.parse(used.pattern.pattern, used.pattern.flags & ~re.DEBUG)
    whole = shortest(tree)
    yield from (("", run) for run in RUNS)
    yield from (("", text) for text in {whole, whole[:-1], whole + " "} if text)
    for head in dict.fromkeys(heads(tree)):
        if head:
            yield from ((head, run) for run in PUMPED)
            yield "", head


def runner(used: Used) -> Callable[[Any], object]:
    if used.method in ("sub", "subn"):
        return lambda text: getattr(used.pattern, used.method)("" if isinstance(text, str) else b"", text)
    if used.method == "finditer":
        return lambda text: sum(1 for _ in used.pattern.finditer(text))
    return getattr(used.pattern, used.method)  # type: ignore[no-any-return]


class Endless(Exception):
    """It took seconds of CPU."""


def spent(run: Callable[[Any], object], text: Any) -> float:
    begin = time.thread_time()
    run(text)
    return time.thread_time() - begin


def slow(used: Used) -> str | None:
    """The input for which an expression takes more than its share for twice the length."""
    run, made = runner(used), isinstance(used.pattern.pattern, bytes)
    for head, again in inputs(used):
        short, long = (head + (again * (size // len(again) + 1))[:size] + "\x01" for size in (SHORT, LONG))
        texts: tuple[Any, Any] = (short.encode(), long.encode()) if made else (short, long)
        try:
            if (taken := spent(run, texts[1])) < FLOOR_S or taken < RATIO * spent(run, texts[0]):
                continue
            best = min(taken, spent(run, texts[1])), min(spent(run, texts[0]) for _ in range(3))
        except Endless:
            return f"{used.where} ({used.method}): {head!r} and runs of {again!r} take seconds"
        if best[0] > FLOOR_S and best[0] > RATIO * best[1]:
            return f"{used.where} ({used.method}): {head!r} and runs of {again!r}: {best[1]:.3f} s, of twice the length {best[0]:.3f} s"
    return None


@pytest.fixture
def patience() -> Iterator[None]:
    """Interrupt an expression that takes seconds: the engine looks for signals now and then."""

    def interrupt(*_: object) -> None:
        raise Endless

    before = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, 60, 5)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


@pytest.mark.no_cover
def test_every_expression_is_linear(patience: None) -> None:
    collected = of_modules()
    assert len(collected) > 80
    # A busy machine blurs one measurement: what is slow is so three times.
    assert [told for used in collected if (told := slow(used)) and slow(used) and slow(used)] == []


def test_python_tries_rules_on_short_texts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some rules need more than linear time of Python, as for `MSI` behind a long run of digits; longer texts are left to polars."""
    vocabulary = Engine.load().vocabulary
    tried: list[int] = []

    class Watched:
        def __init__(self, expression: str) -> None:
            self.groupindex = re.compile(expression).groupindex
            self.expression = re.compile(expression)

        def match(self, text: str) -> object:
            tried.append(len(text))
            return self.expression.match(text)

    monkeypatch.setattr(capture, "compiled", Watched)
    texts = ["0" * 20_000 + literal for literal in list(vocabulary.by_literal)[::10]] + ["0" * 20_000, "qemu: " * 4000]
    for text in texts:
        frame = pl.DataFrame({"line": [1], "text": [text]})
        capture.capture(Layout.settle({}, [text]).peel(frame), vocabulary)
    assert max(tried, default=0) < 500  # a number that fits no column stands as a short one
    tried.clear()
    layout = Layout.settle({}, ["irq 24: nobody cared"])
    capture.capture(layout.peel(pl.DataFrame({"line": [1], "text": ["irq 24: nobody cared"]})), vocabulary)
    assert max(tried) == len("irq 24: nobody cared")


@pytest.mark.parametrize(
    ("expression", "method"),
    [(r" +x", "search"), (r"a *\S* *b", "match"), (r"(?:\d+,?)+;$", "match")],
)
def test_one_that_is_not_linear_is_found(expression: str, method: str, patience: None) -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, 1, 1)
    tried = (slow(Used(re.compile(expression), method, "here")) for _ in range(5))  # a busy machine blurs one measurement
    assert any(told is not None for told in tried)


@pytest.mark.parametrize(
    ("expression", "method"), [(r" ++x", "match"), (r"a[^:]*: b", "match"), (r"(?<! ) +x", "search"), (r"[0-9]+", "sub")]
)
def test_one_that_is_linear_passes(expression: str, method: str, patience: None) -> None:
    assert slow(Used(re.compile(expression), method, "here")) is None
