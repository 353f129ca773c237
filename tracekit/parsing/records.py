"""Wrappers around single records: JSON objects, journal fields, /dev/kmsg and netconsole records, records glued on the wire.

A record is written again as the line that syslog or dmesg would have printed, so that the envelopes read it: host, wall clock and kernel
stamp are all kept where the record has them.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime

from tracekit.parsing.logical import Logical, Wrapper, spread
from tracekit.parsing.objects import fields_of, journal_lines, object_lines, printk_stamp

_FLAT_OBJECT = re.compile(r'\{(?:[^{}"]|"(?:[^"\\]|\\.)*")*\}', re.S)
_OPEN = re.compile(r"\{")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_MESSAGE = re.compile(r'"(?:MESSAGE|[Mm]essage|@message|msg|log|line|text|body|short_message|textPayload|_raw)"\s*:')
_RECORD_LIMIT = 20_000


class Json(Wrapper):
    """Objects of `journalctl -o json` (and -pretty, -sse, -seq), `dmesg --json`, docker, LAVA and collectors, of one line or many."""

    name = "json"

    def __init__(self) -> None:
        self.held: list[str] = []
        self.first = 0
        self.boot = ""

    def take(self, number: int, line: str) -> Iterator[Logical]:
        if not self.held and "{" not in line:
            yield Logical(number, number, "" if line.strip("\x1e ]}\t\r") == "" else line)
            return
        if not self.held:
            self.first = number
        elif _opens(line) and not _inside_string(self.held):
            yield from self._before_object(number)
        self.held.append(line)
        if "}" in line or len(self.held) > _RECORD_LIMIT:
            yield from self._objects(number)

    def _before_object(self, number: int) -> Iterator[Logical]:
        """Drop the lines that opened an outer object: they hold nothing themselves."""
        if number > self.first and "}" not in self.held[-1]:
            yield Logical(self.first, number - 1, "")
            self.held, self.first = [], number

    def _objects(self, number: int) -> Iterator[Logical]:
        """Yield the complete objects in the lines held."""
        text = "\n".join(self.held)
        if len(self.held) == 1 and (fields := fields_of(text)) is not None and any(isinstance(v, dict) for v in fields.values()):
            yield from spread(self.first, number, self._written(text))
            self.held, self.first = [], 0
            return
        found = list(_FLAT_OBJECT.finditer(text))
        if not found and len(self.held) <= _RECORD_LIMIT and text.count('"') % 2:
            return
        texts = [t for m in found for t in self._written(m[0])]
        rest = text[found[-1].end() :] if found else ""
        goes_on = bool(_OPEN.search(rest)) and "\n" not in rest
        if goes_on and number == self.first:  # it begins on the only line of the one before: a line is told once
            return
        at = self.first + next((i for i, held in enumerate(self.held) if _MESSAGE.search(held)), 0)
        yield from spread(self.first, number - goes_on, texts or [text if not found else ""], min(at, number - goes_on))
        self.held, self.first = ([rest], number) if goes_on else ([], 0)

    def _written(self, text: str) -> list[str]:
        fields = fields_of(text)
        if fields is None:
            return text.split("\n")
        boot = self._boot(str(fields.get("_BOOT_ID", ""))) if "MESSAGE" in fields else []
        return [*boot, *(object_lines(fields) or text.split("\n"))]

    def _boot(self, boot: str) -> list[str]:
        """Return journalctl's own marker where a new boot begins."""
        old, self.boot = self.boot, boot or self.boot
        return [f"-- Boot {boot} --"] if old and boot and boot != old else []

    def close(self) -> Iterator[Logical]:
        if self.held:
            text = "\n".join(self.held)
            whole = [t for m in _FLAT_OBJECT.finditer(text) for t in self._written(m[0])] if len(self.held) == 1 else []
            yield from spread(self.first, self.first + len(self.held) - 1, whole or [text])
            self.held = []


def _opens(line: str) -> bool:
    """Return whether an object begins on a line that ends none before."""
    outside = _STRING.sub("", line)
    return "{" in outside and "}" not in outside.split("{")[0]


def _inside_string(held: Sequence[str]) -> bool:
    return sum(len(re.findall(r'(?<!\\)"', line)) for line in held) % 2 == 1


_VERBOSE = re.compile(r"[A-Z][a-z]{2} ([0-9]{4}-[0-9]{2}-[0-9]{2}) ([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?) \S+ \[s=")
_FIELD = re.compile(r"([A-Z_][A-Z0-9_]*)=(.*)", re.S)


class Journal(Wrapper):
    """Records of `journalctl -o export` (fields, then an empty line) and `-o verbose` (a head line, then indented fields)."""

    name = "journal"

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.first = 0
        self.last = 0
        self.at = 0
        self.key = ""
        self.blob: list[str] | None = None
        self.boot = ""

    def take(self, number: int, line: str) -> Iterator[Logical]:
        if self.blob is not None and self._blob(line):
            self.last = number
            return
        verbose = _VERBOSE.match(line)
        if verbose or not line.strip():
            yield from self._record()
            self.first = self.first or number
            self.last = number
            if verbose:
                self.fields = {"wall": f"{verbose[1]}T{verbose[2]}+00:00"}
            else:
                yield from self.close()
            return
        self.first, self.last = self.first or number, number
        self._field(line)
        if self.key == "MESSAGE" and not self.at:
            self.at = number

    def _field(self, line: str) -> None:
        text = line.lstrip(" ")
        if found := _FIELD.fullmatch(text):
            self.key = found[1]
            self.fields[self.key] = found[2]
        elif re.fullmatch(r"[A-Z_][A-Z0-9_]*", line):
            self.key, self.blob = line, []
        elif self.key:
            self.fields[self.key] += "\n" + text

    def _blob(self, line: str) -> bool:
        """Collect a value that is printed as length (8 bytes, little endian), bytes, line break. False if the line is not part of it."""
        assert self.blob is not None
        raw = "\n".join([*self.blob, line])
        if len(raw) < 8:
            self.blob.append(line)
            return True
        if self.blob and _FIELD.fullmatch(line) and "�" in raw[:8]:
            self.blob = None
            return False
        length = int.from_bytes(raw[:8].encode("latin-1", "replace"), "little")
        self.fields[self.key] = raw[8:]
        self.blob = [*self.blob, line] if "�" in raw[:8] or len(raw[8:].encode()) < min(length, 1 << 20) else None
        return True

    def _record(self) -> Iterator[Logical]:
        """Yield the record held, ending before the current line."""
        if not self.first:
            return
        texts = self._lines()
        yield from spread(self.first, self.last, texts or [""], self.at)
        self.fields, self.first, self.at, self.key, self.blob = {}, 0, 0, "", None

    def _lines(self) -> list[str]:
        if "MESSAGE" not in self.fields:
            return []
        wall = self.fields.pop("wall", "")
        fields = dict(self.fields)
        with suppress(ValueError):  # no wall clock, or a day that no month has
            fields["__REALTIME_TIMESTAMP"] = str(int(datetime.fromisoformat(wall).timestamp() * 1_000_000))
        old, self.boot = self.boot, fields.get("_BOOT_ID", self.boot)
        marker = [f"-- Boot {self.boot} --"] if old and self.boot != old else []
        return [*marker, *journal_lines(fields)]

    def close(self) -> Iterator[Logical]:
        yield from self._record()


KMSG = re.compile(r"(?:(?=[0-9]*[^0-9,;])[^,;]*,)?([0-9]{1,4}),([0-9]+),([0-9]+),([-c+])((?:,[^,;=]+=[^,;]*)*);(.*)", re.S)
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


class Kmsg(Wrapper):
    """Records of /dev/kmsg and of the extended netconsole, dictionary lines and fragments included (`kernel/printk/printk.c`)."""

    name = "kmsg"

    def __init__(self) -> None:
        self.held: tuple[int, int, re.Match[str]] | None = None
        self.body = ""

    def take(self, number: int, line: str) -> Iterator[Logical]:
        found = KMSG.fullmatch(line)
        if self.held and found is None and re.match(r" [A-Za-z_]+=", line):
            self.held = (self.held[0], number, self.held[2])
            return
        if self.held and found and "ncfrag=" in found[5] and self.held[2][2] == found[2]:
            self.held = (self.held[0], number, self.held[2])
            self.body += found[6]
            return
        yield from self.close()
        if found:
            self.held, self.body = (number, number, found), found[6]
        else:
            yield Logical(number, number, line)

    def close(self) -> Iterator[Logical]:
        if self.held is None:
            return
        first, last, head = self.held
        caller = re.search(r",caller=([TC][0-9]+)", head[5])
        stamp = f"<{head[1]}>{printk_stamp(head[3])[:-1]}" + (f"[{caller[1]:>6}] " if caller else " ")
        yield from spread(first, last, [stamp + text for text in unescaped(self.body).split("\n")])
        self.held = None


def unescaped(text: str) -> str:
    """Turn `\\xHH` of the record format back into the bytes it stands for."""
    if "\\x" not in text:
        return text
    return re.sub(r"(?:\\x[0-9a-f]{2})+", lambda m: bytes.fromhex(m[0].replace("\\x", "")).decode(errors="replace"), text)


GLUED = re.compile(r"(?=<[0-9]{1,3}>(?:1 )?(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T|[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} ))")


class Wire(Wrapper):
    """Syslog datagrams written one after the other without line breaks."""

    name = "wire"

    def take(self, number: int, line: str) -> Iterator[Logical]:
        yield from spread(number, number, [piece for piece in GLUED.split(line) if piece] or [""])
