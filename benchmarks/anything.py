"""64 KB of anything: what an analysis of each kind of text costs: `python benchmarks/anything.py [KIND..]`.

Kinds are runs of each class of characters (in one line, in lines, behind stamps), random bytes and words, JSON of any depth and never
closed, mails, journals, and traces without an end. The engine is loaded once; figures are CPU of all threads, the dearest first. None
takes 1 s.
"""

import random
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tracekit.errors import SourceError
from tracekit.pipeline import Engine, analyze

SIZE = 64 << 10
CLASSES = " \t0a[](){}\"',:;=-+._<>|\\/*#@&%~\r\n\x1b\xe9"
STAMP = "[    1.000000] "


def ordinary() -> bytes:
    """A log of boot messages."""
    chance = random.Random(7)
    lines = (f"[{i:5d}.{chance.randrange(10**6):06d}] usb 1-1.{i % 7}: new high-speed USB device number {i}\n" for i in range(2000))
    return "".join(lines).encode()[:SIZE]


def kinds() -> dict[str, bytes]:
    """Each kind of text by its name."""
    chance = random.Random(7)
    words = [*ordinary().decode().split()[:400], "MSI", "irq", "failed", "vfio", "vector:", "-28", "[", "{", "(XEN)", "qemu:", "=>"]
    repeated = {
        "words": "".join(f"{' '.join(chance.choices(words, k=12))}\n" for _ in range(60)),
        "JSON, open objects": '{"a":',
        "JSON, open lists": "[",
        "JSON, open lines": '{"msg": "x\n',
        "JSON, lines": '{"msg": "[    1.000000] usb 1-1: x"}\n',
        "JSON, fields": '"MESSAGE" : "a",\n',
        "JSON, records": '{\n "MESSAGE" : "a",\n "_BOOT_ID" : "1"\n},\n',
        "quotes": "> ",
        "quoted lines": f"> > {STAMP}usb 1-1: x and so on and so on and so on and so on\n",
        "wrapped lines": f"{STAMP}usb 1-1: a long line that a mailer would have broken some\nwhere here\n",
        "kmsg": "6,1,1000000,-;usb 1-1: x\n SUBSYSTEM=usb\n",
        "journal": "__CURSOR=s\n_BOOT_ID=1\nMESSAGE=x\n\n",
        "calls": " 0)               |  f() {\n",
        "probes": "  a-1 [000] ..... 1.000001: r_x: (a+0x1/0x2 <- b) ret=1\n",
        "MSI": "MSI ",
        "QEMU": "qemu-system-x86_64: vfio ",
        "Xen": "(XEN) ",
        "tags": "</a><b>",
        "entities": "&lt;&gt;",
        "quoted-printable": "=20=3D=\n",
        "colours": "\x1b[0m",
        "backspaces": "a\b",
    }
    tails = f"{STAMP}usb 1-1: a long line that a mailer would have broken some\n" + ("word " * 15 + "\n") * 900
    made = {"ordinary": ordinary(), "random bytes": chance.randbytes(SIZE), "tails of a mail": tails.encode()}
    made |= {"random text": bytes(chance.choices(range(32, 127), k=SIZE))}
    made |= {kind: (text * (SIZE // len(text) + 1)).encode() for kind, text in repeated.items()}
    for c in CLASSES:
        made |= {f"run of {c!r}": c.encode() * SIZE, f"lines of {c!r}": (c * 79 + "\n").encode() * (SIZE // 80)}
        made |= {f"stamped {c!r}": (STAMP + c * 65 + "\n").encode() * (SIZE // 80)}
    return {kind: data[:SIZE] for kind, data in made.items()}


def cost(data: bytes, engine: Engine, folder: Path) -> float:
    """CPU that an analysis takes, in s; text that is none is refused in no time."""
    (folder / "log").write_bytes(data)
    begin = time.process_time()
    try:
        analyze([str(folder / "log")], None, engine)
    except SourceError as error:
        assert "is not text" in str(error), error
    return time.process_time() - begin


def main(wanted: Iterable[str]) -> None:
    """Print what each kind costs."""
    engine, named = Engine.load(), set(wanted)
    with tempfile.TemporaryDirectory() as folder:
        cost(ordinary(), engine, Path(folder))
        costs = {kind: cost(data, engine, Path(folder)) for kind, data in kinds().items() if not named or kind in named}
    for kind, seconds in sorted(costs.items(), key=lambda item: -item[1]):
        print(f"{seconds:6.3f} s  {kind}")


if __name__ == "__main__":
    main(sys.argv[1:])
