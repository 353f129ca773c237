"""Decide whether the first bytes of a file are text, and in which encoding."""

import codecs
from collections.abc import Iterator


def encoding_of(head: bytes) -> str:
    """Return the text encoding that a byte order mark names; UTF-8 without one."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else ""


_HOLE = b"\x00" * 512  # what a file system leaves of a file that was not written to its end


def is_binary(head: bytes) -> bool:
    """Detect bytes of no log: over 5 % control characters that no console writes. NUL runs of a crashed machine's log stay text; where
    lines without a NUL stand before a long run, they tell."""
    lines = head.partition(_HOLE)[0]
    head = lines if b"\n" in lines and b"\x00" not in lines else head
    noise = len(head) - len(head.translate(None, bytes(set(range(32)) - set(b"\t\n\r\x08\x0c\x1b\x00"))))
    text = head.translate(None, b"\x00")
    return noise * 20 > len(head) or len(text) * 4 < len(head)


def recoded(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Yield bytes of another encoding as UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for block in blocks:
        yield decoder.decode(block).encode()
    yield decoder.decode(b"", final=True).encode()
