"""Logs pasted into mails: quote marks of any depth, lines that a mailer wrapped, quoted-printable, whole logs re-flowed as paragraphs.

A join must gain something: where a first part of the pieces is an event and the whole is none, that part is all that is joined, and
what is an event without it is another one.
A tail is joined to the log line before it only where a mailer would have broken that line: both have the same depth, the line is not longer
than a mail line, the tail's first word would not have fitted, and the tail is neither blank nor prose. A tail of lesser depth (the line was
quoted, then broken) is one only if a log line of the depth of the first follows: else it may be an answer.
"""

import quopri
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tracekit.parsing.logical import Logical, Wrapper

QUOTES = {
    ">": re.compile(r"(?:[ \t]{0,3}>)+ ?"),
    "|": re.compile(r"(?:[ \t]{0,3}[>|])+ ?"),
    "initials": re.compile(r"(?:[ \t]{0,3}(?:[A-Za-z]{1,4})?>)+ ?"),
}
MARK = 8  # characters in which the first mark ends
_STAMP = r"\[ *[0-9]{1,10}\.[0-9]{6}\]"
# How a log line begins; blanks before it are a paste's indentation.
LOG_LINE = re.compile(
    rf"\s*+(?:(?:<[0-9]{{1,3}}>|[a-z]+ *:[a-z]+ *: )?(?:{_STAMP}|\[[^\s\]]{{1,10}} [^\s\]]{{1,10}} [ 0-9][0-9] [0-9]{{2}}:)"
    r"|\((?:XEN|d[0-9]+)\)|<[0-9]{1,3}>[A-Z0-9]"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}|[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} "
    r"|\[[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]"
    r"|[0-9]+@[0-9]+\.[0-9]{6}:|\S.{0,40}-[0-9]+ +(?:\( *[-0-9]+\) +)?\[[0-9]{3,}\]|\S.{0,40}-[0-9]+ +[0-9]+[dDbX.]\S{3,6} +[0-9]+us"
    r"|.{1,16} +[0-9]+ +\[[0-9]{3,}\] +[0-9]+\.[0-9]{6,9}:|(?:\S+ )?(?:/\S*/)?(?:qemu[\w.-]*|kvm): |libxl: )"
)
_PRINTK = re.compile(rf"\s*+(?:<[0-9]{{1,3}}>)?{_STAMP}")
_INNER = re.compile(rf"(?<=\S )(?={_STAMP} )")
_NO_TAIL = re.compile(
    r"\s|[-+]\s|[-+]{3}|@@ |[`~]{3}|</?[A-Za-z!]|\[/?[a-z]+\]|diff --git|\* |=> |[#{}]|"
    r"\[\.\.\.\]|\[snip\]|<snip>|\.\.\.|-- |_{5}|={5}|On .* wrote:|https?://"
    r"|Signed-off-by|From:|Date:|To:|Cc:|\x1b|\[(?:\x1b\S*)? ?(?: OK |FAILED|DEPEND|TIME|WARN|INFO|SKIP)"
    # systemd, a line cut short, prompts
    r"|\[ *[0-9]*(?:\.[0-9]*)?$|(?:\[?[^\s@]+@\S+[: ].*|[~/]\S*|\S+ )[#$](?: |$)|[#$>](?: |$)|\S+ login:"
)
_PROSE = re.compile(r"(?:[A-Z][a-z']+|I|a|and|but|so|the|this|just|which|we|it) (?:[A-Za-z',-]+ ){2,}")
WIDEST = 80
COLUMNS = (80, 100, 120, 132, 160)  # of terminals
MOST_PIECES = 100  # that a mailer breaks a line into; each further one is held against all before it
SHORTEST = 40
LEAST_BROKEN = 66
PRINTABLE = 76  # the longest line that quoted-printable allows
_LINE_END = re.compile(r"(?:=0D)?=0A=?$")  # of a text that a mailer took for data: a line ends here, the soft break joins none
_BLANK_END = re.compile(r"[^A-Za-z_\s]=20$")  # a blank at the end of a line; `timeout=20` is none


@dataclass
class _Piece:
    """A physical line without its quotes; `marks`: how wide they were."""

    number: int
    number_end: int
    depth: int
    text: str
    marks: int = 0


class Mail(Wrapper):
    """Logs in mails and bug reports, and what a terminal cut at its right edge.

    `quote` names the marks; `printable`: quoted-printable was left undecoded; `wrapped`: tails may follow; `columns`: the terminal's width.
    """

    name = "mail"

    def __init__(
        self, quote: str = "", printable: bool = False, wrapped: bool = True, columns: int = 0, reads: Callable[[str], bool] | None = None
    ) -> None:
        self.quote, self.printable, self.wrapped, self.columns = quote, printable, wrapped, columns
        self.reads = reads  # whether a text is one of an event
        self.soft: _Piece | None = None  # what soft line breaks have joined so far
        self.record: list[_Piece] = []
        self.doubt: list[_Piece] = []  # tails of lesser depth, until the line after them is seen

    def take(self, number: int, line: str) -> Iterator[Logical]:
        first, line = self._decoded(number, line) if self.printable else (number, line)
        if first < 0:
            return
        line = line.replace("\u00a0", " ").replace("\0", "")
        depth, text = unquoted(line, self.quote)
        yield from self._add(_Piece(first, number, depth, text, len(line) - len(text)))

    def _add(self, piece: _Piece) -> Iterator[Logical]:
        if self.record and self._continues(piece):
            (self.doubt if self.doubt or piece.depth < self.record[-1].depth else self.record).append(piece)
            return
        yield from self._finished(piece)
        self.record = [piece]

    def _decoded(self, number: int, line: str) -> tuple[int, str]:
        """Return (first physical line, text) with soft line breaks taken out; -1 while one goes on."""
        first, before = (self.soft.number, self.soft.text) if self.soft else (number, "")
        line = line.rstrip("\r")
        whole = _LINE_END.sub("", line)
        if line.endswith("=") and whole == line:
            self.soft = _Piece(first, number, 0, before + line[:-1])
            return -1, ""
        self.soft = None
        return first, _printed(before + whole)

    def _continues(self, piece: _Piece) -> bool:
        """Return whether a line is the wrapped tail of the record held, or may be."""
        pieces, text = self.record + self.doubt, piece.text.rstrip()
        if self.columns:
            return len(pieces[-1].text) == self.columns and bool(text) and not LOG_LINE.match(text)
        if pieces[-1].marks + len(pieces[-1].text) in COLUMNS and re.match(" [^ ]", text):
            text = text[1:]  # the terminal's edge was before a blank
        if not self.wrapped or len(pieces) >= MOST_PIECES or piece.depth > pieces[0].depth or not _may_be_tail(text):
            return False
        # What was broken last, with the tails that a later mailer broke off it.
        broken = next(i for i in reversed(range(len(pieces))) if pieces[i].depth >= piece.depth)
        before = " ".join(p.text.expandtabs().rstrip() for p in pieces[broken:])
        full = pieces[broken].marks + len(before) + 1 + len(text.split(None, 1)[0])
        widest = WIDEST if pieces[-1].marks + len(pieces[-1].text) not in COLUMNS else COLUMNS[-1]
        least, most = SHORTEST if _INNER.search(before) else LEAST_BROKEN, widest * (len(pieces) - broken)
        return full >= least and SHORTEST <= len(before) <= most and self._is_log() and not _PROSE.match(text)

    def _is_log(self) -> bool:
        return any(LOG_LINE.match(p.text) or _INNER.search(p.text) for p in self.record[:1] + self.record[-1:])

    def _finished(self, after: _Piece | None = None) -> Iterator[Logical]:
        """Yield the record held as logical lines, and the tails in doubt: part of it if what comes after goes on in the record's depth."""
        if not self.record:
            return
        if after is not None and after.depth == self.record[0].depth and LOG_LINE.match(after.text):
            self.record, self.doubt = self.record + self.doubt, []
        gained = self._gained()
        yield from self._joined(self.record[:gained])
        for piece in self.record[gained:] + self.doubt:
            yield Logical(piece.number, piece.number_end, piece.text.rstrip())
        self.record, self.doubt = [], []

    def _gained(self) -> int:
        """Return how many pieces belong together: all, but where fewer of them are an event and all are none."""
        pieces = self.record
        if self.reads is None or len(pieces) == 1 or _INNER.search(self._text(pieces)[0]):
            return len(pieces)
        first = next((n for n in range(len(pieces), 0, -1) if self._reads(pieces[:n])), 0)
        if first > 1:  # an event and the next, which has no stamp, are two: a trace of QEMU behind its messages
            first = next((n for n in range(1, first) if self._reads(pieces[:n]) and self._reads(pieces[n:first])), first)
        return first or next((n for n in range(1, len(pieces)) if self.reads(pieces[n].text.strip())), len(pieces))

    def _reads(self, pieces: Sequence[_Piece]) -> bool:
        return self.reads is not None and self.reads(self._text(pieces)[0].strip())

    def _joined(self, pieces: Sequence[_Piece]) -> Iterator[Logical]:
        """Yield some pieces joined, and split before every stamp that stands inside."""
        text, starts = self._text(pieces)
        yield from _split(text.rstrip(), starts, pieces[-1].number_end)

    def _text(self, pieces: Sequence[_Piece]) -> tuple[str, list[tuple[int, int]]]:
        """Return the text of some pieces joined, and where in it each begins: (place, line)."""
        if self.columns:
            return _put_together(pieces, [True] * len(pieces))
        loose = _put_together(pieces, [False] * len(pieces))
        cut = [False, *(p.marks + len(p.text) in COLUMNS for p in pieces[:-1])]
        if self.reads is None or not any(cut) or self.reads(loose[0].rstrip()):
            return loose
        # A terminal breaks a word where its edge is.
        tight = _put_together(pieces, cut)
        return tight if self.reads(tight[0].rstrip()) else loose

    def close(self) -> Iterator[Logical]:
        if self.soft is not None:
            yield from self._add(_Piece(self.soft.number, self.soft.number_end, 0, _printed(self.soft.text)))
        yield from self._finished()


def _put_together(pieces: Sequence[_Piece], tight: Sequence[bool]) -> tuple[str, list[tuple[int, int]]]:
    """Return pieces as one text, each behind the one before it as it is (`tight`) or behind a blank, and where each begins."""
    text, starts = "", []
    for piece, close in zip(pieces, tight, strict=True):
        before = text if close or not text else f"{text.rstrip()} "
        starts.append((len(before), piece.number))
        text = before + (piece.text if close or not before else piece.text.lstrip())
    return text, starts


def _printed(text: str) -> str:
    """Decode quoted-printable text, in the character set of most mails, else in that of old ones: it prints a blank as `=A0`."""
    data = quopri.decodestring(text.encode())
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _split(text: str, starts: list[tuple[int, int]], end: int) -> Iterator[Logical]:
    """Yield one logical line for each stamp in a joined text, each at the physical line where it begins."""
    cuts = [0]
    for at in (m.start() for m in _INNER.finditer(text)):
        before = text[cuts[-1] : at]
        # Behind a collector's or Xen's own stamp, the kernel's is part of the same line.
        if _PRINTK.match(before) or not LOG_LINE.match(before):
            cuts.append(at)
    lines = [max(number for at, number in starts if at <= cut) for cut in cuts]
    for i, cut in enumerate(cuts):
        more = i + 1 < len(cuts)
        yield Logical(lines[i], lines[i + 1] - 1 if more else end, text[cut : cuts[i + 1] if more else None].rstrip())


def unquoted(line: str, quote: str) -> tuple[int, str]:
    """Return (depth, text) of a line without its quote marks; an escaped `>From` is no quote."""
    if not quote or (found := QUOTES[quote].match(line)) is None:
        return 0, line
    marks = sum(c in ">|" for c in found[0])
    text = line[found.end() :].lstrip("\t")
    return (marks - 1, text) if text.startswith("From ") and line[: found.end()].endswith(">") and marks > 1 else (marks, text)


def quoted_by(sample: list[str]) -> str:
    """Return which quote marks the lines of a mail have, if any: most lines have them, or several log lines stand behind them."""
    written = [line for line in sample if line.strip()]
    quoting = [line for line in written if ">" in line[:MARK] or "|" in line[:MARK]]
    behind = {name: [line[m.end() :] for line in quoting if (m := marks.match(line))] for name, marks in QUOTES.items()}
    logs = {name: _logs(texts) for name, texts in behind.items()}
    best = max(logs, key=lambda name: logs[name])
    if logs[best] >= (1 if best == ">" else 2):
        return best
    return ">" if len(behind[">"]) >= 2 and len(behind[">"]) * 20 >= len(written) else ""


def is_wrapped(sample: list[str], quote: str) -> bool:
    """Return whether a mailer broke lines: log lines have tails, and few log lines are longer than a mail's, or the tails are many."""
    texts = [line.replace("\0", "") for line in sample]
    if quote:
        texts = [unquoted(text, quote)[1] for text in texts]
    widths = [len(text.expandtabs().rstrip()) for text in texts[:-1]]
    full = [n for n, width in enumerate(widths) if SHORTEST <= width <= WIDEST or width in COLUMNS]
    if not any(_may_be_tail(texts[n + 1].rstrip()) and (LOG_LINE.match(texts[n]) or _INNER.search(texts[n])) for n in full):
        return False
    lengths = [len(text.expandtabs()) for text in texts if LOG_LINE.match(text)]
    mail = Mail(quote)
    tails = sum(record.line_end > record.line for part in (mail.feed(sample, 1), mail.close()) for record in part)
    long = sum(length > WIDEST and length not in COLUMNS for length in lengths)
    return tails > 0 and (bool(quote) or long * 20 <= len(lengths) or tails * 10 >= len(lengths))


def _may_be_tail(text: str) -> bool:
    """Return whether a line looks like the rest of one that was broken, whatever stands before it."""
    return bool(text) and not LOG_LINE.match(text) and not _NO_TAIL.match(text)


def is_padded(sample: list[str]) -> bool:
    """Return whether a terminal or a mailer left blanks at the ends of lines: most log lines have them."""
    padded = [line for line in sample if line.rstrip("\r").endswith((" ", "\t"))]
    return bool(padded) and _logs(padded) * 2 > _logs(sample)


def _logs(lines: list[str]) -> int:
    """Return how many of the lines are log lines."""
    return sum(LOG_LINE.match(line) is not None for line in lines)


def cut_at(sample: list[str]) -> int:
    """Return the width of the terminal that broke lines, 0 if none did: no line is longer, and several that fill it have a rest below."""
    width = max(map(len, sample), default=0)
    if width not in COLUMNS:
        return 0
    filled = [below for line, below in pairwise(sample) if len(line) == width and LOG_LINE.match(line)]
    rests = sum(bool(below.strip()) and not LOG_LINE.match(below) for below in filled)
    return width if rests >= 3 and rests * 4 >= len(filled) * 3 else 0


def is_printable(sample: list[str]) -> bool:
    """Return whether lines still are quoted-printable: soft breaks or escapes, and no equals sign that is not part of one."""
    signs = [line.rstrip("\r") for line in sample if "=" in line]
    if any(re.search(r"=(?![0-9A-F]{2}|$)", line) for line in signs):
        return False
    escaped = sum(bool(re.search(r"=(?:3D|20|C2=A0|09)", line)) for line in signs)
    if soft := sum(line.endswith("=") for line in signs):
        return soft + escaped >= 2 or any(len(a.rstrip("\r")) == PRINTABLE and not LOG_LINE.match(b) for a, b in pairwise(sample) if b)
    return escaped >= 2 and any("=3D" in line for line in signs) or any(_BLANK_END.search(line) and LOG_LINE.match(line) for line in signs)
