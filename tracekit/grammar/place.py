"""What is wrong with a grammar file, with the place: `ring.lark:5:34: nothing is called quue`, the line, and a caret below."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tracekit.errors import nearest

_AT = re.compile(r",?\s*(?:at )?line (\d+),? col(?:umn)? (\d+)\.?")  # Unexpected token Token('_RBRA', ']') at line 5, column 42.
_NUMBERED = re.compile(r":(\d+): (.*)", re.DOTALL)  # :3: mark foundby: there is no such mark
_UNDEFINED = re.compile(r"\w+: (?:Rule|Terminal|Token) '(\w+)' used but not defined \(in (?:rule|terminal) (\w+)\)")
_TOKEN = re.compile(r"UnexpectedToken: .*Token\('\w+', (.*)\)|UnexpectedCharacters: No terminal matches ('.+') in .*")
_OF_RULE = re.compile(r"([a-z_]\w*): (?:field (\w+) |rule (\w+) )?")  # ring_stuck: field line has the name of an envelope column
_RULE = re.compile(r"[?!]?([a-z_]\w*)(?:\.-?\d+)?\s*:")
_END = re.compile(r"UnexpectedEOF|Unexpected end-of-input")


def located(path: Path, message: str) -> str:
    """Return the message of an error in a file as `file:line:column: what`, the line and a caret; as it is where it has no place."""
    what = message.removeprefix(str(path)).removeprefix(path.name)
    text = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    line, column, what = _place(what.removeprefix(": "), text)
    if not 0 < line <= len(text):
        return f"{path}: {what}"
    shown = text[line - 1].replace("\t", " ")
    return f"{path}:{line}:{column}: {what}\n    {shown}\n    {' ' * (column - 1)}^"


def rules_of(path: Path) -> list[str]:
    """Return the names of the rules that a file defines, whether they could be read or not."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [m[1] for line in lines if (m := _RULE.match(line)) and m[1] != "start"]


def _place(what: str, text: Sequence[str]) -> tuple[int, int, str]:
    """Return (line, column, what is wrong); line 0 where that is not known."""
    if m := _NUMBERED.match(what):
        return int(m[1]), 1, m[2]
    if m := _AT.search(what):
        token = _TOKEN.search(what[: m.start()])
        return int(m[1]), int(m[2]), f"unexpected {token[1] or token[2]}" if token else what[: m.start()]
    if m := _UNDEFINED.match(what):
        line, column = _named(text, m[2], m[1])
        known = [*(name for name, _ in _starts(text)), *re.findall(r"[A-Z]{2,}", " ".join(t for t in text if t.startswith("%import")))]
        return line, column, f"nothing is called {m[1]}{nearest(m[1], known)}"
    if _END.search(what):
        return len(text), len(text[-1]) + 1 if text else 1, "the file ends inside a rule"
    if m := _OF_RULE.match(what):
        return *_named(text, m[1], m[2] or m[3] or m[1]), what
    return 0, 0, what


def _starts(text: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield the name of each rule and the line that it begins on."""
    yield from ((m[1], n) for n, line in enumerate(text, 1) if (m := _RULE.match(line)))


def _named(text: Sequence[str], rule: str, name: str) -> tuple[int, int]:
    """Return where a name stands in a rule, or where the rule begins; zeros where there is no such rule."""
    begin = next((n for of, n in _starts(text) if of == rule), 0)
    end = next((n for _, n in _starts(text) if n > begin), len(text) + 1)
    for number in range(begin, end) if begin else ():
        code = re.sub(r'"(?:[^"\\]|\\.)*"', lambda m: " " * len(m[0]), text[number - 1]).partition("//")[0]
        if m := re.search(rf"\b{re.escape(name)}\b", code):
            return number, m.start() + 1
    return begin, 1 if begin else 0
