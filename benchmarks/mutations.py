"""Inputs for `fuzz.py`: small logs and excerpts of samples and recordings with a few mutations. Number and seed tell the input."""

import json
import random
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 3000  # bytes of an excerpt: most samples are whole
LARGEST = 8000  # bytes of a log after its mutations
NUMBER = re.compile(rb"0[xX][0-9a-fA-F]+|[0-9]+")
FIELD = re.compile(rb"\b([a-z_]+)[= ]+(?=-?[0-9])")
WORD = re.compile(rb"[A-Za-z_]{3,}")
BDF = re.compile(rb"(?:[0-9a-f]{4,5}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
NUMBERS = (
    *("0", "-1", "-28", "00000", "1e308", "nan", "inf", "", "0x", "0xg"),
    *(str((1 << bits) + more) for bits in (7, 8, 11, 16, 31, 32, 53, 63, 64, 128) for more in (-1, 0)),
    *(f"-{1 << bits}" for bits in (31, 63, 64)),
    *("9" * 40, "9" * 400, "0x" + "f" * 16, "0x" + "f" * 17, "0x" + "f" * 400, "٣", "１２", "२८", "²", "۴.۵", "𝟜"),
)
BDFS = ("10000:e1:00.0", "ffff:ff:1f.7", "00:00.0", "0000:00:00.0", "0000:00:20.0", "0000:００:1f.2", "123456:00:00.0", "0000:zz:00.0")
BYTES = (b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\xe2\x28\xa1")
CONTROLS = (
    *("\x1b[31m", "\x1b]0;x\x07", "\r", "\b\b", "\x0b", "\x0c", "\t", "\x7f"),
    *("\x85", "\u2028", "\ufeff", "\u202e", "\U000e0041", "\ufffe"),
)
WRAPS = (
    b"> %s",
    b"> > > %s",
    b'"%s"',
    b"'\"'%s'\"'",
    b"[   12.345678] %s",
    b"Jan  2 03:04:05 node kernel: %s",
    b"2024-01-02T03:04:05+00:00 node kernel[1]: %s",
    b"<6>%s",
    b"(XEN) [2024-01-02 03:04:05] %s",
    b"qemu-system-x86_64: %s",
    b"<...>-123   [001] d..1.   12.345678: %s",
    b"node | %s",
    b"+%s",
    b"  %s",
    b"&gt; %s",
)


class Chance(random.Random):
    """Draw what a mutation needs."""

    def piece(self, data: bytes, longest: int) -> tuple[int, int]:
        """Return (begin, end) of a piece of the data."""
        begin = self.randrange(len(data) + 1)
        return begin, min(len(data), begin + self.randrange(longest + 1))

    def some(self, lines: Sequence[bytes]) -> list[int]:
        """Return some places of lines: one, few, or all."""
        return self.sample(range(len(lines)), min(len(lines), self.choice((1, 1, 2, 5, len(lines)))))


Mutation = Callable[[Chance, bytes], bytes]


def flips(chance: Chance, data: bytes) -> bytes:
    """Change some bits."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 2, 8, 40))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cuts(chance: Chance, data: bytes) -> bytes:
    """Take a piece out, or the begin or the end away."""
    begin, end = chance.piece(data, chance.choice((1, 20, 1000)))
    return chance.choice((data[:begin] + data[end:], data[:begin], data[begin:]))


def splices(chance: Chance, data: bytes) -> bytes:
    """Put a piece of another log into this one."""
    _, other = chance.choice(chance.choice(cases()))
    begin, end = chance.piece(other, 800)
    place = chance.choice((0, len(data), chance.randrange(len(data) + 1), data.find(b"\n", chance.randrange(len(data) + 1)) + 1))
    return data[:place] + other[begin:end] + data[place:]


def shuffles(chance: Chance, data: bytes) -> bytes:
    """Change the order of lines: all, or those of a window."""
    lines = data.splitlines(keepends=True)
    begin = chance.randrange(len(lines))
    window = lines[begin : begin + chance.choice((2, 5, len(lines)))]
    lines[begin : begin + len(window)] = chance.sample(window, len(window))
    return b"".join(lines)


def doubles(chance: Chance, data: bytes) -> bytes:
    """Repeat some lines, there or at the end."""
    lines = data.splitlines(keepends=True)
    for i in sorted(chance.some(lines), reverse=True):
        lines.insert(chance.choice((i, len(lines))), lines[i])
    return b"".join(lines)


def deletes(chance: Chance, data: bytes) -> bytes:
    """Take some lines out."""
    lines = data.splitlines(keepends=True)
    gone = set(chance.some(lines)[: max(1, len(lines) // 2)])
    return b"".join(line for i, line in enumerate(lines) if i not in gone)


def _replaced(chance: Chance, data: bytes, what: "re.Pattern[bytes]", values: Sequence[bytes]) -> bytes:
    found = list(what.finditer(data))
    for m in sorted(chance.sample(found, min(len(found), chance.choice((1, 1, 3, 10)))), key=re.Match.start, reverse=True):
        data = data[: m.start()] + chance.choice(values) + data[m.end() :]
    return data


def numbers(chance: Chance, data: bytes) -> bytes:
    """Put huge, negative, non-ASCII or broken numbers in the place of some."""
    return _replaced(chance, data, NUMBER, [n.encode() for n in NUMBERS])


def exchanges(chance: Chance, data: bytes) -> bytes:
    """Put numbers of the log in the place of others of it: indexes, irqs, times and addresses that do not fit each other."""
    return _replaced(chance, data, NUMBER, NUMBER.findall(data) or [b"0"])


def renumbers(chance: Chance, data: bytes) -> bytes:
    """Change a number everywhere, or all of one field: counts, sizes and indexes that agree with each other and with no machine."""
    fields = FIELD.findall(data)
    value = chance.choice(NUMBERS).encode()
    if fields and chance.random() < 0.7:
        field = re.escape(chance.choice(fields))
        return re.sub(rb"\b(" + field + rb"[= ]+)(?:0x[0-9a-fA-F]+|-?[0-9]+)", lambda m: m[1] + value, data)
    number = re.escape(chance.choice(NUMBER.findall(data) or [b"0"]))
    return re.sub(rb"(?<![0-9a-fA-F.])" + number + rb"(?![0-9a-fA-F.])", lambda _: value, data)


def words(chance: Chance, data: bytes) -> bytes:
    """Put words of the log in the place of others of it."""
    return _replaced(chance, data, WORD, WORD.findall(data) or [b"x"])


def devices(chance: Chance, data: bytes) -> bytes:
    """Put other devices in the place of some, and such as are none."""
    return _replaced(chance, data, BDF, [*(b.encode() for b in BDFS), *BDF.findall(data)])


def invalid(chance: Chance, data: bytes) -> bytes:
    """Put bytes in that are no UTF-8."""
    for _ in range(chance.choice((1, 3, 20))):
        place = chance.randrange(len(data) + 1)
        data = data[:place] + chance.choice(BYTES) + data[place:]
    return data


def controls(chance: Chance, data: bytes) -> bytes:
    """Put controls in, and signs that are not seen."""
    for _ in range(chance.choice((1, 3, 20))):
        place = chance.randrange(len(data) + 1)
        data = data[:place] + chance.choice(CONTROLS).encode() + data[place:]
    return data


def quotes(chance: Chance, data: bytes) -> bytes:
    """Quote some lines, or put an envelope before them, and again around that."""
    lines = data.splitlines()
    for _ in range(chance.choice((1, 1, 2, 4))):
        wrap, chosen = chance.choice(WRAPS), set(chance.some(lines))
        lines = [wrap.replace(b"%s", line) if i in chosen else line for i, line in enumerate(lines)]
    return b"\n".join(lines) + b"\n"


def records(chance: Chance, data: bytes) -> bytes:
    """Make a record of JSON of each line, and perhaps of that again."""
    lines = data.decode("utf-8", "replace").splitlines()
    for _ in range(chance.choice((1, 1, 2))):
        lines = [json.dumps({chance.choice(("MESSAGE", "msg", "log", "message")): line, "_HOSTNAME": "node"}) for line in lines]
    return "\n".join(lines).encode()


def repeats(chance: Chance, data: bytes) -> bytes:
    """Repeat a piece many times."""
    begin, end = chance.piece(data, 12)
    return data[:begin] + data[begin:end] * chance.choice((2, 20, 300)) + data[end:]


def ends(chance: Chance, data: bytes) -> bytes:
    """End lines otherwise, or some not at all."""
    return data.replace(b"\n", chance.choice((b"\r\n", b"\r", b"\n\n", b" ", b"\r\r\n", b"\0"))) if chance.random() < 0.7 else data.rstrip()


MUTATIONS: tuple[Mutation, ...] = (
    *(flips, cuts, splices, shuffles, doubles, deletes, invalid, controls, quotes, records, repeats, ends),
    *(numbers, numbers, exchanges, exchanges, exchanges, renumbers, renumbers, renumbers, words, devices, devices),
)


@cache
def cases() -> tuple[tuple[tuple[str, bytes], ...], ...]:
    """Return the logs to begin with, those of a case together: of the samples, and of the recordings where they are, three
    times as often."""
    sys.path.insert(0, str(ROOT / "tests"))
    import recordings

    folders = sorted(p for p in (ROOT / "sample_traces").glob("*/*") if p.is_dir())
    folders += 3 * [p for root in (recordings.GIVEN, recordings.place("captures2")) for p in sorted(root.glob("*")) if p.is_dir()]
    found = (tuple((f.name, f.read_bytes()) for f in sorted(p.rglob("*")) if _wanted(f)) for p in folders)
    small = tuple((f.name, f.read_bytes()) for f in sorted((ROOT / "tests" / "small").rglob("*")) if _wanted(f))
    return (*(case for case in found if case), *((log,) for log in small))


def _wanted(file: Path) -> bool:
    return file.is_file() and file.suffix in (".log", ".txt", "") and file.name != "README.md" and 0 < file.stat().st_size < 4 << 20


def excerpt(chance: Chance, data: bytes) -> bytes:
    """Return a log whole, or lines of a long one from anywhere."""
    if len(data) <= LONGEST:
        return data
    begin = chance.choice((0, data.find(b"\n", chance.randrange(len(data))) + 1))
    end = data.rfind(b"\n", begin, begin + LONGEST) + 1
    return data[begin : end or begin + LONGEST]


def made(seed: int, number: int) -> dict[str, bytes]:
    """Return the input of this number: one to three logs of a case by their names."""
    chance = Chance(f"{seed}/{number}")
    case = chance.choice(cases())
    logs = chance.sample(case, min(len(case), chance.choice((1, 1, 2, 3))))
    told: dict[str, bytes] = {}
    for at, (name, data) in enumerate(logs):
        log = excerpt(chance, data) or data[:LONGEST]
        for _ in range(chance.choice((1, 1, 2, 4)) if at == 0 else chance.choice((0, 1))):
            log = chance.choice(MUTATIONS)(chance, log)[:LARGEST] or b"\n"
        told[name] = log
    return told
