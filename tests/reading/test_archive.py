import bz2
import gzip
import io
import lzma
import random
import struct
import sys
import tarfile
import zipfile
import zlib

import pytest

from tracekit.errors import SourceError
from tracekit.reading.archive import Archive, Limits, Pass, size_of
from tracekit.reading.unpack import Stream, expand

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LOG = b"".join(b"[%5d.000000] line %d\n" % (i, i) for i in range(2000))
PACK = {"": bytes, "gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zst": zstd.compress}


def tar(*members, format=tarfile.PAX_FORMAT, end=True):
    """A tar of (name, content or TarInfo type and link) pairs."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as t:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mtime = 1_700_000_000
            if isinstance(content, bytes):
                info.size = len(content)
                t.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                t.addfile(info)
        length = t.offset
    return out.getvalue() if end else out.getvalue()[:length]


def zipped(*members, method=zipfile.ZIP_DEFLATED, stream=False):
    out = io.BytesIO()
    target = Unseekable(out) if stream else out
    with zipfile.ZipFile(target, "w", method) as z:
        for name, content in members:
            z.writestr(name, content)
    return out.getvalue()


class Unseekable(io.RawIOBase):
    """A file that can only be written or read forward."""

    def __init__(self, file):
        self.file = file

    def writable(self):
        return True

    def readable(self):
        return True

    def write(self, data):
        return self.file.write(data)

    def read(self, size=-1):
        return self.file.read(size)

    def flush(self):
        pass


def read(data, limits=None, seekable=True):
    """({member: content or the error}, the problems, what was skipped)."""
    file = io.BytesIO(data)
    once = Pass("x", limits or Limits())
    found = {}
    for member in once.members(file if seekable else Unseekable(file)):
        content = []
        try:
            content.extend(member.stream.blocks())
        except Exception as error:
            content.append(f"{type(error).__name__}".encode())
        found[member.name] = b"".join(content)
    return found, [(p.member, p.reason) for p in once.problems], dict(once.skipped)


@pytest.mark.parametrize("kind", PACK)
def test_a_tar_in_each_compression(kind):
    data = PACK[kind](tar(("var/log/messages", LOG), ("./uname", b"Linux\n")))
    assert read(data) == ({"var/log/messages": LOG, "uname": b"Linux\n"}, [], {})


@pytest.mark.parametrize("kind", PACK)
def test_a_single_file_in_each_compression(kind):
    assert read(PACK[kind](LOG)) == ({"": LOG}, [], {})


@pytest.mark.parametrize("kind", [k for k in PACK if k])
def test_members_that_are_compressed(kind):
    assert read(tar((f"messages-1.{kind}", PACK[kind](LOG)))) == ({f"messages-1.{kind}": LOG}, [], {})


@pytest.mark.parametrize("kind", [k for k in PACK if k])
def test_several_streams_in_a_row(kind):
    assert b"".join(expand(kind, [PACK[kind](b"one\n") + PACK[kind](b"two\n")])) == b"one\ntwo\n"


@pytest.mark.parametrize("size", [1, 7, 512])
def test_blocks_of_any_size(size):
    data = gzip.compress(LOG)
    assert b"".join(expand("gz", [data[i : i + size] for i in range(0, len(data), size)])) == LOG


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_in_each_method(method):
    assert read(zipped(("a/dmesg", LOG), ("b", b"x\n"), method=method)) == ({"a/dmesg": LOG, "b": b"x\n"}, [], {})


def test_a_zip_that_cannot_be_sought():
    data = zipped(("a", LOG), ("b", b"x\n"))
    assert read(data, seekable=False) == ({"a": LOG, "b": b"x\n"}, [], {})


def test_a_zip_that_was_streamed_has_its_sizes_behind(monkeypatch):
    monkeypatch.setattr("tracekit.reading.zips.IN_MEMORY", 100)
    data = zipped(("a", LOG), ("b", b"x\n"), stream=True)
    assert read(data, seekable=False) == ({"a": LOG, "b": b"x\n"}, [], {})


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names(format):
    name = "/".join(["folder" * 5] * 12)
    assert list(read(tar((name, LOG), ("next", b"x\n"), format=format))[0]) == [name, "next"]


def test_archives_in_archives():
    inner = gzip.compress(tar(("dmesg", LOG)))
    data = lzma.compress(tar(("nodes/a/sysinfo.tgz", inner), ("nodes/b/x.zip", zipped(("dmesg", b"b\n"))), ("last", b"l\n")))
    names = {"nodes/a/sysinfo.tgz!dmesg": LOG, "nodes/b/x.zip!dmesg": b"b\n", "last": b"l\n"}
    assert read(data) == (names, [], {})


def test_links_devices_and_unsafe_names_are_skipped_and_counted():
    special = [("link", (tarfile.SYMTYPE, "/etc/shadow")), ("hard", (tarfile.LNKTYPE, "good")), ("null", (tarfile.CHRTYPE, ""))]
    special += [
        ("fifo", (tarfile.FIFOTYPE, "")),
        ("/etc/passwd", LOG),
        ("a/../../b", LOG),
        ("C:\\x", LOG),
        ("folder", (tarfile.DIRTYPE, "")),
    ]
    found, problems, skipped = read(tar(*special, ("good", b"g\n")))
    assert (found, problems) == ({"good": b"g\n"}, [])
    assert skipped == {"link": 2, "device": 1, "special file": 1, "unsafe name": 3}


def test_links_in_a_zip_are_skipped():
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    assert read(zipped((link, "/etc/shadow"), ("good", b"g\n"))) == ({"good": b"g\n"}, [], {"link": 1})


def test_equal_names_are_told_apart():
    assert read(tar(("a", b"1\n"), ("a", b"2\n")))[0] == {"a": b"1\n", "a#2": b"2\n"}


def test_an_encrypted_member_is_a_problem_of_its_own():
    data = bytearray(zipped(("secret", LOG), ("open", b"o\n")))
    for at in (data.find(b"PK\x03\x04") + 6, data.find(b"PK\x01\x02") + 8):
        data[at] |= 1
    found, problems, _ = read(bytes(data))
    assert (found, problems) == ({"open": b"o\n"}, [("secret", "is encrypted: unpack it with its password first")])


def test_an_unknown_method_is_a_problem_of_its_own():
    data = bytearray(zipped(("odd", LOG), ("open", b"o\n")))
    for at in (data.find(b"PK\x03\x04") + 8, data.find(b"PK\x01\x02") + 10):
        data[at : at + 2] = struct.pack("<H", 97)
    found, problems, _ = read(bytes(data))
    assert found == {"open": b"o\n"}
    assert problems == [("odd", "is packed by a method not known here (97): unpack it first")]


@pytest.mark.parametrize("kind", PACK)
def test_what_came_before_the_end_of_a_truncated_tar_counts(kind):
    noise = random.Random(1).randbytes(3_000_000)
    data = PACK[kind](tar(("first", b"f\n"), ("big", noise)))
    found, problems, _ = read(data[: len(data) // 2])
    assert found["first"] == b"f\n"
    assert found["big"].endswith(b"Error") and noise.startswith(found["big"][:1000])
    assert len(problems) == 1 and "damaged or ends early" in problems[0][1]


def test_a_damaged_header_in_the_middle_is_told():
    data = bytearray(tar(("first", b"f\n"), ("second", b"s\n"), format=tarfile.USTAR_FORMAT))
    data[1024 + 10] ^= 0xFF
    assert read(bytes(data)) == ({"first": b"f\n"}, [("", "the archive is damaged or ends early: a tar header is damaged")], {})


def test_a_missing_end_mark_is_told():
    data = tar(("first", b"f\n"), end=False)
    assert read(data) == ({"first": b"f\n"}, [("", "the archive is damaged or ends early: the tar ends without its end mark")], {})


def test_a_truncated_zip_gives_what_came_before():
    data = zipped(("first", LOG), ("second", random.Random(2).randbytes(50_000)))
    found, problems, _ = read(data[:-30_000])
    assert found["first"] == LOG
    assert found["second"].endswith(b"EOFError")
    assert len(problems) == 1 and problems[0][0] == ""


def test_a_broken_member_leaves_the_others():
    broken = gzip.compress(LOG)[:-200]
    found, _, _ = read(tar(("a.gz", broken), ("b.tgz", gzip.compress(tar(("c", LOG)))[:50]), ("d", b"d\n")))
    assert LOG.startswith(found["a.gz"][:-8]) and found["a.gz"].endswith(b"EOFError")
    assert found["d"] == b"d\n"


def test_a_wrong_checksum_in_a_zip_is_the_member_s():
    data = bytearray(zipped(("a", LOG), ("b", b"b\n"), method=zipfile.ZIP_STORED))
    data[100] ^= 1
    found, _, _ = read(bytes(data))
    assert found["a"].endswith(b"BadZipFile")
    assert found["b"] == b"b\n"


def zeros(size, pack):
    return pack(bytes(size))


def nested(depth, content):
    for _ in range(depth):
        content = tar(("x.tar", content))
    return content


SMALL = Limits(expanded=5 << 20, ratio=50, ratio_after=2 << 20, members=10, depth=3, name=100)


@pytest.mark.parametrize("kind", [k for k in PACK if k])
def test_a_bomb_ends_the_pass(kind):
    found, problems, _ = read(PACK[kind](bytes(8 << 20)), SMALL)
    assert found[""].endswith(b"LimitError") and len(found[""]) <= 3 << 20
    assert problems == []  # the reader of the only member was told


def test_a_bomb_that_nobody_reads_ends_the_pass_too():
    once = Pass("x", SMALL)
    names = [m.name for m in once.members(io.BytesIO(gzip.compress(tar(("a", b"a\n"), ("zeros", bytes(8 << 20)), ("b", b"b\n")))))]
    assert names == ["a", "zeros"]
    assert [p.reason for p in once.problems] == [
        "x: expands to more than 50 times its size; if you trust it, raise the limit TRACEKIT_MAX_RATIO"
    ]


def test_expanded_bytes_are_limited_whatever_the_ratio():
    noise = random.Random(3).randbytes(2 << 20)
    _, problems, _ = read(gzip.compress(tar(("a", noise), ("b", noise), ("c", noise))), SMALL)
    assert [p for _, p in problems] == ["x: expands to more than 5242880 bytes; if you trust it, raise the limit TRACEKIT_MAX_EXPANDED"]


@pytest.mark.parametrize("pack", [tar, zipped])
def test_members_are_limited(pack):
    found, problems, _ = read(pack(*((f"m{i}", b"x\n") for i in range(12))), SMALL)
    assert len(found) in (0, 10)  # a zip's directory is refused before it is read
    assert len(problems) == 1 and "more than 10 members" in problems[0][1]


def test_depth_is_limited_and_the_rest_goes_on():
    data = tar(("deep.tar", nested(3, LOG)), ("good", b"g\n"))
    found, problems, _ = read(data, SMALL)
    assert found == {"good": b"g\n"}
    assert problems == [
        ("deep.tar!x.tar!x.tar", "x!deep.tar!x.tar!x.tar: is packed more than 3 deep; if you trust it, raise the limit TRACEKIT_MAX_DEPTH")
    ]


def test_compression_of_compression_is_limited():
    data = LOG
    for _ in range(6):
        data = gzip.compress(data)
    found, problems, _ = read(tar(("x.gz", data), ("good", b"g\n")))
    assert found == {"good": b"g\n"}
    assert len(problems) == 1 and "packed more than 3 deep" in problems[0][1]


def test_long_names_are_limited():
    found, problems, _ = read(tar(("n" * 101, LOG), ("good", b"g\n")), SMALL)
    assert (found, problems) == ({"good": b"g\n"}, [("n" * 40 + "..", "its name is longer than 100 bytes")])


def test_a_huge_pax_header_is_not_read():
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    data = tar(("first", b"f\n"), end=False) + info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    assert read(data) == ({"first": b"f\n"}, [("", "the archive is damaged or ends early: a tar header of 1099511627776 bytes")], {})


def test_a_zip_that_claims_many_entries_is_refused_before_they_are_read():
    data = bytearray(zipped(("a", b"a\n")))
    end = data.find(b"PK\x05\x06")
    data[end + 8 : end + 12] = struct.pack("<2H", 60_000, 60_000)
    found, problems, _ = read(bytes(data), SMALL)
    assert found == {} and "more than 10 members" in problems[0][1]


def test_overlapping_zip_entries_are_held_to_the_ratio():
    core = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = core.compress(bytes(1 << 20)) + core.flush()
    out = bytearray()
    names = [b"a", b"b", b"c", b"d", b"e", b"f"]
    header = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0, zlib.crc32(bytes(1 << 20)), len(content), 1 << 20, 1, 0)
    out += header + b"a" + content
    start = len(out)
    for name in names:
        crc = zlib.crc32(bytes(1 << 20))
        out += struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 0, crc, len(content), 1 << 20, 1, 0, 0, 0, 0, 0, 0) + name
    out += struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 6, 6, len(out) - start, start, 0)
    found, _, _ = read(bytes(out), SMALL)
    assert sum(map(len, found.values())) < 4 << 20


def test_an_archive_is_read_again_in_any_order():
    rng = random.Random(4)
    contents = {f"m{i}": rng.randbytes(3000) for i in range(20)}
    data = gzip.compress(tar(*contents.items()))
    for kept in (0, 1 << 20):
        archive = Archive("x", lambda: io.BytesIO(data), Limits())
        archive._room = kept
        members = [m for m, _ in archive.scan(lambda m, head: True)]
        order = [*range(20), *rng.sample(range(20), 20)]
        for i in order:
            assert b"".join(archive.blocks(members[i].index)) == contents[f"m{i}"]


def test_a_stream_raises_its_error_only_where_it_stands():
    def blocks():
        yield b"abc"
        raise EOFError("early")

    stream = Stream(blocks())
    assert stream.peek(10) == b"abc"
    assert stream.read(2) == b"ab"
    with pytest.raises(EOFError, match="early"):
        stream.read(2)


@pytest.mark.parametrize(("text", "size"), [("512", 512), ("64M", 64 << 20), ("20g", 20 << 30)])
def test_sizes(text, size):
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "1.5G", "G"])
def test_sizes_that_are_none(text):
    with pytest.raises(SourceError, match="limit: .* is no number above 0"):
        size_of(text, "limit")


def test_limits_of_the_environment(monkeypatch):
    monkeypatch.setenv("TRACEKIT_MAX_EXPANDED", "2G")
    monkeypatch.setenv("TRACEKIT_MAX_DEPTH", "5")
    assert Limits.given(depth=7) == Limits(expanded=2 << 30, depth=7)
