"""One kernel log in the wrappers that programs, terminals and mailers put around it: the same findings in each."""

import bz2
import gzip
import json
import lzma
import quopri
import re
import textwrap
from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from tracekit.parsing.strings import texts_in
from tracekit.pipeline import analyze
from tracekit.testing import engine

SAMPLES = [
    Path(__file__).parents[2] / "sample_traces" / folder / "dmesg.txt"
    for folder in ("irq.remap-blocked/fires-entry-not-present-6.12", "xen.pirq-starved/fires-dom0-6.1")
]
REPORTS = [
    Path(__file__).parents[2] / "sample_traces" / folder / "dmesg.txt"
    for folder in ("msi.kernel-bug/fires-iounmap-below-msix-6.12", "irq.unhandled-line/fires-level-line")
]
STAMPED = re.compile(r"\[\s*(\d+)\.(\d{6})\] (.*)")
START = 1763632800


class Record:
    """A kernel message: its seconds, microseconds, text, and the line as dmesg prints it."""

    def __init__(self, line: str) -> None:
        found = STAMPED.fullmatch(line)
        assert found
        self.line, self.seconds, self.fraction, self.text = line, int(found[1]), found[2], found[3]
        self.us = self.seconds * 1_000_000 + int(found[2])
        self.wall = datetime.fromtimestamp(START + self.seconds, UTC)
        self.stamp = f"{self.seconds:5}.{self.fraction}"

    def journal(self) -> dict[str, str]:
        return {
            "__CURSOR": "s=1",
            "__REALTIME_TIMESTAMP": str(START * 1_000_000 + self.us),
            "_BOOT_ID": "1" * 32,
            "_TRANSPORT": "kernel",
            "_HOSTNAME": "vm",
            "SYSLOG_IDENTIFIER": "kernel",
            "_SOURCE_MONOTONIC_TIMESTAMP": str(self.us),
            "MESSAGE": self.text,
        }

    def export(self, indent: str = "") -> str:
        return "".join(f"{indent}{k}={v}\n" for k, v in self.journal().items() if not (indent and k.startswith("__")))

    def wrapped(self, width: int, quote: str = "") -> str:
        return "\n".join(quote + part for part in textwrap.wrap(self.line, width, break_long_words=False, break_on_hyphens=False))

    def hops(self, mailers: int, width: int) -> str:
        lines = [self.line]
        for _ in range(mailers):
            lines = [p for line in lines for p in textwrap.wrap(f"> {line}", width, break_long_words=False, break_on_hyphens=False)]
        return "\n".join(lines)


def dmesg_json(records: list[Record]) -> str:
    rows = ("{\n" + f'         "pri": 6,\n         "time": {r.stamp},\n         "msg": {json.dumps(r.text)}\n      }}' for r in records)
    return '{\n   "dmesg": [\n      ' + ",".join(rows) + "\n   ]\n}\n"


EACH: dict[str, Callable[[Record], str]] = {
    "quoted": lambda r: f"> {r.line}",
    "quoted tight": lambda r: f">>>{r.line}",
    "quoted four deep": lambda r: f"> >>> >> {r.line}",
    "quoted and wrapped": lambda r: r.wrapped(74, "> > "),
    "wrapped": lambda r: r.wrapped(76),
    "quoted and wrapped by every mailer": lambda r: r.hops(4, 74),
    "padded": lambda r: r.line + "   ",
    "cut at 80": lambda r: "\n".join(r.line[i : i + 80] for i in range(0, len(r.line), 80)),
    "CRLF": lambda r: r.line + "\r",
    "serial": lambda r: f"\0{r.line}\r\r",
    "indented": lambda r: "\t" + r.line,
    "level": lambda r: f"<6>{r.line}",
    "caller": lambda r: f"[{r.stamp}][  T123] {r.text}",
    "dmesg -x": lambda r: f"kern  :info  : {r.line}",
    "dmesg -d": lambda r: f"[{r.stamp} <    0.000100>] {r.text}",
    "dmesg -T": lambda r: f"{r.wall:[%a %b %d %H:%M:%S %Y]} {r.text}",
    "dmesg -e": lambda r: f"[  +0.{r.fraction}] {r.text}",
    "dmesg iso": lambda r: f"{r.wall:%Y-%m-%dT%H:%M:%S},{r.fraction}+00:00 {r.text}",
    "no stamps": lambda r: r.text,
    "colours": lambda r: f"\x1b[32m[{r.stamp}] \x1b[0m\x1b[33m" + r.text.replace(": ", ": \x1b[0m", 1) + "\x1b[0m",
    "no-break blanks": lambda r: r.line.replace("  ", "\u00a0 "),
    "entities": lambda r: "&lt;6&gt;" + r.line.replace("<", "&lt;").replace(">", "&gt;"),
    "kmsg": lambda r: f"6,{r.us % 9999},{r.us},-;{r.text}\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:02.0",
    "RFC 3164": lambda r: f"{r.wall:%b %d %H:%M:%S} vm kernel: {r.line}",
    "RFC 3164 without stamps": lambda r: f"{r.wall:%b %d %H:%M:%S} vm kernel: {r.text}",
    "RFC 5424": lambda r: f"<6>1 {r.wall:%Y-%m-%dT%H:%M:%S}.{r.fraction}+00:00 vm kernel - - -  {r.line}",
    "rsyslog": lambda r: f"{r.wall:%Y-%m-%dT%H:%M:%S}.{r.fraction}+00:00 vm kernel: {r.line}",
    "busybox": lambda r: f"Jan  1 00:00:05 vm kern.info kernel: {r.line}",
    "logread": lambda r: f"Thu Sep 14 12:00:00 2023 kern.info kernel: {r.line}",
    "journal precise": lambda r: f"{r.wall:%b %d %H:%M:%S}.{r.fraction} vm kernel: {r.text}",
    "journal full": lambda r: f"{r.wall:%a %Y-%m-%d %H:%M:%S UTC} vm kernel: {r.text}",
    "journal monotonic": lambda r: f"[{r.stamp}] vm kernel: {r.text}",
    "journal unix": lambda r: f"{START + r.seconds}.{r.fraction} vm kernel: {r.text}",
    "journal json": lambda r: json.dumps(r.journal()),
    "journal json, bytes": lambda r: json.dumps({**r.journal(), "MESSAGE": list(r.text.encode())}),
    "journal json-pretty": lambda r: json.dumps(r.journal(), indent=8),
    "journal json-sse": lambda r: f"data: {json.dumps(r.journal())}\n",
    "journal json-seq": lambda r: "\x1e" + json.dumps(r.journal()),
    "journal export": lambda r: r.export(),
    "journal verbose": lambda r: f"{r.wall:%a %Y-%m-%d %H:%M:%S}.{r.fraction} UTC [s=1;i=1]\n" + r.export("    ").rstrip("\n"),
    "docker": lambda r: json.dumps({"log": r.line + "\n", "stream": "stdout", "time": "2026-11-21T00:13:22.378012345Z"}),
    "CRI": lambda r: f"2026-11-21T00:13:22.378012345Z stdout F {r.line}",
    "LAVA": lambda r: '- {"dt": "2023-09-14T12:00:00.123456", "lvl": "target", "msg": ' + json.dumps(r.line) + "}",
    "build service": lambda r: f"2026-11-21T00:13:22.3780123Z {r.line}",
    "terminal logger": lambda r: f"[2026-11-21 00:13:22] {r.line}",
    "Xen guest": lambda r: f"(d1) {r.line}",
}


def lines(records: list[Record], end: str = "\n") -> str:
    return "".join(r.line + end for r in records)


WHOLE: dict[str, Callable[[list[Record]], bytes]] = {
    "dmesg --json": lambda rs: dmesg_json(rs).encode(),
    "quoted-printable": lambda rs: quopri.encodestring(plain(rs)),
    "chatter": lambda rs: b"Hi all,\nhere is my dmesg, any idea?\n\n" + plain(rs) + b"\nThanks\n-- \nsignature\n",
    "byte order mark": lambda rs: b"\xef\xbb\xbf" + plain(rs),
    "UTF-16": lambda rs: plain(rs).decode().encode("utf-16"),
    "no final line break": lambda rs: plain(rs).rstrip(b"\n"),
    "gz": lambda rs: gzip.compress(plain(rs)),
    "xz": lambda rs: lzma.compress(plain(rs)),
    "bz2": lambda rs: bz2.compress(plain(rs)),
}


ONE_LINE: dict[str, Callable[[list[Record]], bytes]] = {
    "ec2 get-console-output": lambda rs: json.dumps(
        {"InstanceId": "i-0", "Output": lines(rs, "\r\n"), "Timestamp": "2025"}, indent=4
    ).encode(),
    "ec2, cut off": lambda rs: json.dumps({"Output": lines(rs)}).encode()[:-3],
    "gcloud get-serial-port-output": lambda rs: json.dumps({"contents": lines(rs, "\r\r\n"), "next": "9"}).encode(),
    "loki values": lambda rs: json.dumps({"streams": [{"values": [[str(r.us * 1000), r.line] for r in rs]}]}).encode(),
    "python bytes": lambda rs: repr(lines(rs).encode()).encode(),
}


def plain(records: list[Record]) -> bytes:
    return "".join(r.line + "\n" for r in records).encode()


def findings(path: Path) -> set[tuple[str, str | None, str]]:
    return {(f.code, f.grade, f.subject.label) for f in analyze([str(path)], engine=engine()).findings}


@cache
def reference(sample: Path) -> frozenset[tuple[str, str | None, str]]:
    found = findings(sample)
    assert found
    return frozenset(found)


@pytest.mark.parametrize("name", [*EACH, *WHOLE])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda p: p.parts[-3])
def test_the_same_findings_in_every_wrapper(sample: Path, name: str, tmp_path: Path) -> None:
    records = [Record(line) for line in sample.read_text(encoding="utf-8").splitlines() if line]
    if name in WHOLE:
        content = WHOLE[name](records)
    else:
        content = "".join(EACH[name](r) + "\n" * (1 + (name == "journal export")) for r in records).encode()
    (tmp_path / "log").write_bytes(content)
    assert findings(tmp_path / "log") == reference(sample)


@pytest.mark.parametrize("name", ONE_LINE)
def test_the_same_findings_where_one_line_holds_the_log(name: str, tmp_path: Path) -> None:
    """All its evidence has one line's number: what is told by nearness of lines alone is not told here."""
    records = [Record(line) for line in SAMPLES[0].read_text(encoding="utf-8").splitlines() if line]
    (tmp_path / "log").write_bytes(ONE_LINE[name](records))
    assert findings(tmp_path / "log") == reference(SAMPLES[0])


@pytest.mark.parametrize("name", ["kmsg", "journal json", "journal json-pretty", "journal export"])
@pytest.mark.parametrize("sample", [*SAMPLES, *REPORTS], ids=lambda p: "/".join(p.parts[-3:-1]))
def test_the_same_evidence_where_a_record_takes_many_lines(sample: Path, name: str, tmp_path: Path) -> None:
    """What belongs together stands many lines apart there."""
    text, begins = "", []
    for record in (Record(line) for line in sample.read_text(encoding="utf-8").splitlines() if line):
        begins.append(text.count("\n") + 1)
        text += EACH[name](record) + "\n" * (1 + (name == "journal export"))
    (tmp_path / "log").write_text(text, encoding="utf-8")
    assert evidence(tmp_path / "log", begins) == evidence(sample, list(range(1, len(begins) + 1)))


def evidence(path: Path, begins: list[int]) -> list[tuple[str, str | None, str, list[tuple[int, str]]]]:
    """The findings and their evidence, by the number of the record."""
    found = analyze([str(path)], engine=engine()).findings
    assert found
    return [(f.code, f.grade, f.subject.label, [(bisect_right(begins, e.line), e.role) for e in f.evidence]) for f in found]


def test_a_line_with_several_stamps_is_no_text_of_many_lines() -> None:
    glued = "x" * 80 + '[    1.000000] a[    1.000001] irq 16: nobody cared (try booting with the "irqpoll" option)[    1.000002] b'
    assert texts_in(glued) == []
    assert texts_in(json.dumps({"log": "[    1.000000] a\n" * 9, "time": "2025-01-01T00:00:00Z", "stream": "stdout"})) == []
    assert texts_in(json.dumps({"Output": "[    1.000000] \x1b[0m\ta\n" * 9})) == ["Output", "[    1.000000] \x1b[0m\ta\n" * 9]
