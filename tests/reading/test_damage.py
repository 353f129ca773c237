"""Damaged and hostile archives, built here: what was unpacked before the damage counts, and the first line of every report says what is missing."""

import bz2
import gzip
import io
import json
import lzma
import re
import struct
import sys
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from tracekit.cli.output import rendered
from tracekit.pipeline import Engine, analyze
from tracekit.reading import zips
from tracekit.run import Run

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FAULT = (
    "[  100.000000] DMAR: DRHD: handling fault status reg 2\n[  100.000001] DMAR: [INTR-REMAP] Request device [01:00.0] "
    "fault index 0x3000 [fault reason 0x22] Present field in the IRTE entry is clear\n"
)
BOOT = "".join(f"[{i:5d}.{i * 7919 % 1000000:06d}] usb 1-1: device {i * 104729 % 99991}\n" for i in range(1, 101))
LOG = (BOOT + FAULT).encode()
LONG = LOG + "".join(f"[{i:5d}.{i * 7919 % 1000000:06d}] usb 1-1: device {i * 104729 % 99991}\n" for i in range(200, 40_000)).encode()
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
}
CHECKSUM = {"gz": -6, "xz": -40, "bz2": -8, "zst": -2}  # where a byte of the checksum lies


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load()


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 0x55
    return bytes(changed)


def tar(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, content in members:
            z.writestr(name, content)
    return out.getvalue()


def bad_crc(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = bytearray(zipped(*members, method=method))
    data[data.find(b"PK\1\2") + 16] ^= 1
    return bytes(data)


def overlapping(names: list[str], content: bytes, apart: bool = False) -> bytes:
    """A zip whose directory has many entries for the same bytes; `apart`: each with its own bytes, as it should be."""
    core = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = core.compress(content) + core.flush()
    crc, out, directory = zlib.crc32(content), bytearray(), b""
    for name in (n.encode() for n in names):
        at = len(out) if apart else 0
        if at == len(out):
            out += struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(packed), len(content), len(name), 0) + name + packed
        fields = (20, 20, 0, 8, 0, 0, crc, len(packed), len(content), len(name), 0, 0, 0, 0, 0, at)
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", *fields) + name
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(names), len(names), len(directory), len(out), 0)
    return bytes(out + directory + end)


def analyzed(folder: Path, data: bytes, engine: Engine, name: str = "case.log") -> Run:
    (folder / name).write_bytes(data)
    return analyze([str(folder / name)], None, engine)


def headlines(run: Run, engine: Engine) -> dict[str, str]:
    """The first thing that each report says: a line, or the field of its kind for that."""
    texts = {
        f: rendered(engine.registry, f, run, {"width": 400, "color": False})[0]
        for f in ("terminal", "markdown", "html", "json", "sarif", "csv")
    }
    trust = json.loads(texts["json"])["trust"]
    told = json.loads(texts["sarif"])["runs"][0]["invocations"][0]["toolExecutionNotifications"]
    return {
        "terminal": texts["terminal"].splitlines()[0],
        "markdown": texts["markdown"].splitlines()[0],
        "html": re.findall(r"<h1.*?</h1>", texts["html"], re.S)[0],
        "json": trust["reasons"][0]["text"] if trust["reasons"] else "",
        "sarif": told[0]["message"]["text"] if told else "",
        "csv": " ".join(line for line in texts["csv"].splitlines() if "not to be trusted" in line),
    }


DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    **{f"{k}: its checksum is wrong": (lambda k=k: flipped(PACK[k](LOG), CHECKSUM[k]), "damaged") for k in PACK},  # type: ignore[misc]
    **{f"{k}: cut": (lambda k=k: PACK[k](LONG)[:-300], "end early") for k in PACK},  # type: ignore[misc]
    **{f"{k}: a byte is flipped": (lambda k=k: PACK[k](LOG) + flipped(PACK[k](LONG), 5000), "damaged") for k in PACK},  # type: ignore[misc]
    **{f"tar.{k}: its checksum is wrong": (lambda k=k: flipped(PACK[k](tar(("a.log", LOG))), CHECKSUM[k]), "damaged") for k in PACK},  # type: ignore[misc]
    "tar: its second header": (lambda: flipped(tar(("a.log", LOG), ("b.log", LOG)), 512 + len(LOG) + -len(LOG) % 512 + 9), "damaged"),
    "tar: a packed member": (lambda: tar(("a.log.gz", flipped(gzip.compress(LOG), -6))), "damaged"),
    "zip: its checksum is wrong": (lambda: bad_crc(("a.log", LOG)), "checksum"),
    "zip: its checksum is wrong, stored": (lambda: bad_crc(("a.log", LOG), method=zipfile.ZIP_STORED), "checksum"),
    "zip: its checksum is wrong, bz2": (lambda: bad_crc(("a.log", LOG), method=zipfile.ZIP_BZIP2), "checksum"),
    "zip: without its directory": (lambda: zipped(("a.log", LOG), ("b.log", BOOT.encode()))[:-90], "directory"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_was_unpacked_before_the_damage_counts_and_the_first_line_says_so(kind: str, tmp_path: Path, engine: Engine) -> None:
    make, word = DAMAGED[kind]
    run = analyzed(tmp_path, make(), engine)
    assert "IRQ-003" in [f.code for f in run.findings]
    told = headlines(run, engine)
    assert {f: text for f, text in told.items() if word not in text or "case.log" not in text} == {}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_log_without_a_fault_is_no_all_clear(kind: str, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "LOG", LOG.replace(FAULT.encode(), b""))
    monkeypatch.setitem(globals(), "LONG", LONG.replace(FAULT.encode(), b""))
    run = analyzed(tmp_path, DAMAGED[kind][0](), engine)
    assert run.findings == () and {"cut", "unread"} & {d.kind for d in run.doubts}


@pytest.mark.parametrize(
    "data",
    [
        *(lambda k=k: PACK[k](LOG) + PACK[k](LONG) for k in PACK),
        *(lambda k=k: PACK[k](tar(("a.log", LOG), ("b.log", LOG))) for k in PACK),
        lambda: zipped(("a.log", LOG), ("b.log", LOG)),
        lambda: zipped(("a.log", LOG), method=zipfile.ZIP_STORED),
        lambda: zipped(("a.log", LOG), method=zipfile.ZIP_BZIP2),
        lambda: zipped(("a.log", LOG), method=zipfile.ZIP_LZMA),
        lambda: overlapping(["a.log", "b.log"], LOG, apart=True),
    ],
)
def test_the_same_archives_whole_have_no_damage_to_tell(data: Callable[[], bytes], tmp_path: Path, engine: Engine) -> None:
    run = analyzed(tmp_path, data(), engine)
    assert "IRQ-003" in [f.code for f in run.findings]
    assert (run.errors, [s.losses for s in run.sources if s.losses], run.doubts) == ((), [], ())


def test_the_ratio_ends_the_reading_and_what_came_before_counts(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEKIT_MAX_RATIO_AFTER", "1M")
    for name, data in {"a.gz": gzip.compress(LOG + bytes(8 << 20)), "b.tgz": gzip.compress(tar(("a.log", LOG + bytes(8 << 20))))}.items():
        run = analyzed(tmp_path, data, engine, name)
        assert "IRQ-003" in [f.code for f in run.findings]
        assert {f: t for f, t in headlines(run, engine).items() if "more than 200 times its size" not in t} == {}


def test_the_first_limit_ends_the_pass(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that, each of the members that follow costs a little."""
    monkeypatch.setenv("TRACEKIT_MAX_RATIO_AFTER", "1M")
    monkeypatch.setenv("TRACEKIT_MAX_RATIO", "20")
    opened: list[str] = []
    packed_blocks = zips._packed_blocks

    def counted(file: IO[bytes], info: zipfile.ZipInfo) -> Iterator[bytes]:
        opened.append(info.filename)
        return packed_blocks(file, info)

    monkeypatch.setattr(zips, "_packed_blocks", counted)
    content = b"[    1.000000] usb 1-1: new device\n" * 20_000
    run = analyzed(tmp_path, zipped(("first.log", LOG), *((f"m{i}.log", content) for i in range(100))), engine)
    assert sum("expands to more than" in e for e in run.errors) == 1
    assert "IRQ-003" in [f.code for f in run.findings]
    assert len(opened) < 20


@pytest.mark.parametrize("names", [["a.log"] * 3, ["a.log", "b.log", "c.log"]])
def test_entries_that_share_their_bytes_are_refused(names: list[str], tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "good.log").write_bytes(LOG)
    (tmp_path / "bad.zip").write_bytes(overlapping(names, LOG))
    run = analyze([str(tmp_path / "good.log"), str(tmp_path / "bad.zip")], None, engine)
    assert run.errors == (f"{tmp_path}/bad.zip: its entries a.log and {names[1]} overlap: a zip that was built to cost much is not read",)
    assert [s.path for s in run.sources] == [f"{tmp_path}/good.log"]


def test_many_members_of_a_tar_cost_little_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at the next 512 bytes copies no more than these."""
    from tracekit.reading.archive import Limits, Pass

    data = tar(*((f"m{i}.log", b"x\n") for i in range(4000)))
    tracemalloc.start()
    names = [m.name for m in Pass("x", Limits()).members(io.BytesIO(data))]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(names) == 4000 and peak < 6 << 20


@pytest.mark.parametrize(("count", "whole"), [(8, True), (60, False)])
def test_passes_over_an_archive_are_limited(
    count: int, whole: bool, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts of a rotated log are read oldest first; the other way round, each needs a pass of its own."""
    monkeypatch.setattr("tracekit.reading.archive.KEPT", 0)
    monkeypatch.setenv("TRACEKIT_MAX_EXPANDED", "300K")
    parts = ((f"kern.log.{i}", f"[{count - i:5d}.000000] x\n".encode() * 100) for i in range(1, count))
    run = analyzed(tmp_path, gzip.compress(tar(*parts)), engine)
    assert [s.path for s in run.sources] == [f"{tmp_path}/case.log!kern.log.1"]
    assert any("too many passes" in loss for loss in run.sources[0].losses) != whole
