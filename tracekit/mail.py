"""Logs pasted into mails: quote marks of any depth, lines that a mailer wrapped, quoted-printable, whole logs re-flowed as paragraphs.

A tail is joined to the log line before it only where a mailer would have broken that line: both have the same depth, the line is not longer
than a mail line, the tail's first word would not have fitted, and the tail is neither blank nor prose.
"""

import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tracekit.logical import Logical, Wrapper

QUOTES = {
    ">": re.compile(r"(?:[ \t]{0,3}>)+ ?"),
    "|": re.compile(r"(?:[ \t]{0,3}[>|])+ ?"),
    "initials": re.compile(r"(?:[ \t]{0,3}(?:[A-Za-z]{1,4})?>)+ ?"),
}
_STAMP = r"\[ *\d{1,10}\.\d{6}\]"
# How a log line begins; blanks before it are a paste's indentation.
LOG_LINE = re.compile(
    rf"\s*(?:(?:<\d{{1,3}}>|[a-z]+ *:[a-z]+ *: )?(?:{_STAMP}|\[[A-Z][a-z]{{2}} [A-Z][a-z]{{2}} [ \d]\d )"
    r"|\((?:XEN|d\d+)\)|<\d{1,3}>[A-Z\d]"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d |\[\d{4}-\d\d-\d\d[T ]"
    r"|\d+@\d+\.\d{6}:|\S.{0,40}-\d+ +(?:\( *[-\d]+\) +)?\[\d{3,}\]|\S.{0,40}-\d+ +\d+[dDbX.]\S{3,6} +\d+us"
    r"|.{1,16} +\d+ +\[\d{3,}\] +\d+\.\d{6,9}:|(?:\S+ )?(?:/\S*/)?qemu[\w.-]*: |libxl: )"
)
_PRINTK = re.compile(rf"\s*(?:<\d{{1,3}}>)?{_STAMP}")
_INNER = re.compile(rf"(?<=\S )(?={_STAMP} )")
_NO_TAIL = re.compile(
    r"\s|[-+]\s|[-+]{3} |@@ |diff --git|\* |=> |[#{}]|\[\.\.\.\]|\[snip\]|<snip>|\.\.\.|-- |_{5}|={5}|On .* wrote:|https?://"
    r"|Signed-off-by|From:|Date:|To:|Cc:"
)
_PROSE = re.compile(r"(?:[A-Z][a-z']+|I|a|and|but|so|the|this|just|which|we|it) (?:[A-Za-z',-]+ ){2,}")
WIDEST = 80
SHORTEST = 40
LEAST_BROKEN = 66


@dataclass
class _Piece:
    """A physical line without its quotes."""

    number: int
    number_end: int
    depth: int
    text: str


class Mail(Wrapper):
    """Logs in mails and bug reports, and what a terminal cut at its right edge.

    `quote` names the marks; `printable`: quoted-printable was left undecoded; `wrapped`: tails may follow; `columns`: the terminal's width.
    """

    name = "mail"

    def __init__(self, quote: str = "", printable: bool = False, wrapped: bool = True, columns: int = 0) -> None:
        self.quote, self.printable, self.wrapped, self.columns = quote, printable, wrapped, columns
        self.soft: tuple[int, str] | None = None
        self.record: list[_Piece] = []

    def take(self, number: int, line: str) -> Iterator[Logical]:
        first, line = self._decoded(number, line) if self.printable else (number, line)
        if first < 0:
            return
        depth, text = unquoted(line.replace("\u00a0", " "), self.quote)
        piece = _Piece(first, number, depth, text)
        if self.record and self._continues(piece):
            self.record.append(piece)
            return
        yield from self._finished()
        self.record = [piece]

    def _decoded(self, number: int, line: str) -> tuple[int, str]:
        """(first physical line, text) with soft line breaks taken out; -1 while one goes on."""
        first, before = self.soft or (number, "")
        line = line.rstrip("\r")
        if line.endswith("="):
            self.soft = (first, before + line[:-1])
            return -1, ""
        self.soft = None
        return first, quopri.decodestring((before + line).encode()).decode(errors="replace")

    def _continues(self, piece: _Piece) -> bool:
        """Whether a line is the wrapped tail of the record held."""
        last, text = self.record[-1], piece.text.rstrip()
        if self.columns:
            return len(last.text) == self.columns and bool(text) and not LOG_LINE.match(text)
        if not self.wrapped or piece.depth != last.depth or not text or LOG_LINE.match(text) or _NO_TAIL.match(text):
            return False
        before = last.text.expandtabs().rstrip()
        full = len(before) + 1 + len(text.split(None, 1)[0]) >= (SHORTEST if _INNER.search(before) else LEAST_BROKEN)
        if not SHORTEST <= len(before) <= WIDEST or not full:
            return False
        return self._is_log() and not _PROSE.match(text)

    def _is_log(self) -> bool:
        return any(LOG_LINE.match(p.text) or _INNER.search(p.text) for p in self.record[:1] + self.record[-1:])

    def _finished(self) -> Iterator[Logical]:
        """The record held as logical lines: its pieces joined, and split before every stamp that stands inside."""
        if not self.record:
            return
        text, starts = "", []
        for piece in self.record:
            before = text if self.columns or not text else f"{text.rstrip()} "
            starts.append((len(before), piece.number))
            text = before + (piece.text if self.columns or not before else piece.text.lstrip())
        yield from _split(text, starts, self.record[-1].number_end)
        self.record = []

    def close(self) -> Iterator[Logical]:
        if self.soft is not None:
            first, text = self.soft
            self.soft = None
            yield from self._finished()
            self.record = [_Piece(first, first + text.count("\n"), 0, text)]
        yield from self._finished()


def _split(text: str, starts: list[tuple[int, int]], end: int) -> Iterator[Logical]:
    """One logical line for each stamp in a joined text, each at the physical line where it begins."""
    cuts = [0]
    for at in (m.start() for m in _INNER.finditer(text)):
        before = text[cuts[-1] : at]
        # Behind a collector's or Xen's own stamp, the kernel's is part of the same line.
        if _PRINTK.match(before) or not LOG_LINE.match(before):
            cuts.append(at)
    lines = [max(number for at, number in starts if at <= cut) for cut in cuts]
    for i, cut in enumerate(cuts):
        more = i + 1 < len(cuts)
        yield Logical(
            lines[i], lines[i + 1] - 1 if more else end, text[cut : cuts[i + 1] if more else None].rstrip(" ") if more else text[cut:]
        )


def unquoted(line: str, quote: str) -> tuple[int, str]:
    """(depth, text) of a line without its quote marks; an escaped `>From` is no quote."""
    if not quote or (found := QUOTES[quote].match(line)) is None:
        return 0, line
    marks = sum(c in ">|" for c in found[0])
    text = line[found.end() :].lstrip("\t")
    return (marks - 1, text) if text.startswith("From ") and line[: found.end()].endswith(">") and marks > 1 else (marks, text)


def quoted_by(sample: list[str]) -> str:
    """Which quote marks the lines of a mail have, if any: most lines have them, or several log lines stand behind them."""
    written = [line for line in sample if line.strip()]
    behind = {name: [line[m.end() :] for line in written if (m := marks.match(line))] for name, marks in QUOTES.items()}
    logs = {name: sum(LOG_LINE.match(text) is not None for text in texts) for name, texts in behind.items()}
    best = max(logs, key=lambda name: logs[name])
    if logs[best] >= (1 if best == ">" else 2):
        return best
    return ">" if len(behind[">"]) >= 2 and len(behind[">"]) * 20 >= len(written) else ""


def is_wrapped(sample: list[str], quote: str) -> bool:
    """Whether a mailer broke lines: log lines have tails, and few log lines are longer than a mail's, or the tails are many."""
    lengths = [len(text.expandtabs()) for line in sample if LOG_LINE.match(text := unquoted(line, quote)[1])]
    tails = sum(piece.line_end > piece.line for piece in Mail(quote).feed(sample, 1))
    long = sum(length > WIDEST for length in lengths)
    return tails > 0 and (bool(quote) or long * 20 <= len(lengths) or tails * 10 >= len(lengths))


def cut_at(sample: list[str]) -> int:
    """The width of the terminal that broke lines, 0 if none did: no line is longer, and several that fill it have a rest below."""
    width = max(map(len, sample), default=0)
    filled = [below for line, below in pairwise(sample) if len(line) == width and LOG_LINE.match(line)]
    rests = sum(bool(below.strip()) and not LOG_LINE.match(below) for below in filled)
    return width if width in (80, 100, 120, 132, 160) and rests >= 3 and rests * 4 >= len(filled) * 3 else 0


def is_printable(sample: list[str]) -> bool:
    """Whether lines still are quoted-printable: soft breaks or escapes, and no equals sign that is not part of one."""
    signs = [line.rstrip("\r") for line in sample if "=" in line]
    if any(re.search(r"=(?![0-9A-F]{2}|$)", line) for line in signs):
        return False
    soft = sum(line.endswith("=") for line in signs)
    return soft >= 1 and soft + sum(bool(re.search(r"=(?:3D|20|C2=A0|09)", line)) for line in signs) >= 2
