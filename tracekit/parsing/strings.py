"""Strings: a log of many lines that a program wrote as one text, with escapes in place of its line ends."""

import re
from collections.abc import Iterator

from tracekit.parsing.logical import Logical, Wrapper, spread
from tracekit.parsing.objects import fields_of, object_lines

_STAMP = re.compile(r"\[ {0,6}[0-9]{1,7}\.[0-9]{6}\]")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|\\?$)')
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_MEANT = {"n": "\n", "r": "", "t": "\t", "b": "", "f": ""}
_SHORT = 80
_FEW = 2  # stamps that a line of its own may have: a tool's and the kernel's


class Strings(Wrapper):
    """A console's text in the answer of a cloud (`aws ec2 get-console-output`), in values of Loki, in a program's own notation."""

    name = "strings"

    def take(self, number: int, line: str) -> Iterator[Logical]:
        texts = texts_in(line) or [line]
        yield from spread(number, number, [part for text in texts for part in text.rstrip("\n").split("\n")])


def texts_in(line: str) -> list[str]:
    """Return the texts in which a line holds many lines of the kernel; none where it does not, or where it is the record of a log."""
    if len(line) < _SHORT or _stamps(line) <= _FEW:
        return []
    fields = fields_of(line)
    if fields and object_lines(fields):
        return []
    texts = [found[1] for found in _STRING.finditer(line)]
    if _stamps("\n".join(texts)) < _stamps(line):  # of a notation with other quotes, in which the kernel's own are text
        texts = [line] if "\\n" in line else []
    return [_ESCAPE.sub(_meant, text) for text in texts]


def _stamps(text: str) -> int:
    return len(_STAMP.findall(text))


def _meant(escape: re.Match[str]) -> str:
    """Return the character that an escape stands for."""
    name = escape[1]
    return chr(int(name[1:], 16)) if len(name) > 1 else _MEANT.get(name, name)
