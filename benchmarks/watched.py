"""Follow days of lines through a pipe, as fast as they are taken, and print what `tracekit watch` holds.

    python benchmarks/watched.py                          # 3,000,000 lines of a kernel log and of a trace
    python benchmarks/watched.py --kind trace --lines 500000

A kernel log is 97 of 100 lines of other drivers, the rest lines that rules take; now and then a device is blocked, each time another one.
Of a trace every line is one that a rule takes: interrupts, and requests for them. Printed are the resident memory after each tenth of the
lines and the peak. Exit status 1 where the last tenth holds more than the third one by a fifth and 32 MiB.
"""

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

DAY = 86_400
DAYS = 5  # that the lines are of
TENTHS = 10
NOISE = (
    "usb 1-{n}: new high-speed USB device number {m} using xhci_hcd",
    'audit: type=1400 audit({n}.{m}:{n}): apparmor="ALLOWED" operation="open" pid={m}',
    "e1000e 0000:00:1f.6 eno{n}: NIC Link is Up 1000 Mbps Full Duplex",
    "EXT4-fs (dm-{n}): mounted filesystem with ordered data mode",
    "TCP: request_sock_TCP: Possible SYN flooding on port {m}. Sending cookies.",
)
TAKEN = (
    "vfio-pci 0000:{b:02x}:00.0: enabling device (0000 -> 0002)",
    "pci 0000:{b:02x}:00.0: [8086:1572] type 00 class 0x020000",
    "vfio-pci 0000:{b:02x}:00.0: vfio_ecap_init: hiding ecap 0x19@0x1d0",
)
BLOCKED = (
    "DMAR: DRHD: handling fault status reg 2",
    "DMAR: [INTR-REMAP] Request device [{b:02x}:00.0] fault index 0x3000 [fault reason 0x22] Present field in the IRTE entry is clear",
)
HANDLED = "<idle>-0 [{c:03d}] d.h1. {t:.6f}: irq_handler_entry: irq={n} name=vfio-msix[{m}](0000:{b:02x}:00.0)"
ASKED = (
    "qemu-{n} [{c:03d}] ..... {t:.6f}: set_irqs: (vfio_pci_set_irqs_ioctl+0x0/0x1b0) vdev=0xff110000050{b:02x}000 flags=0x21 index=2"
    " start=0 count=0",
    "qemu-{n} [{c:03d}] ..... {t:.6f}: set_irqs_ret: (vfio_pci_core_ioctl+0x109/0xf60 <- vfio_pci_set_irqs_ioctl) ret=0",
)


def kernel_log(count: int, choice: random.Random) -> Iterator[str]:
    """Yield lines of a kernel log."""
    for n in range(count):
        at = choice.random()
        texts = BLOCKED if at < 0.0002 else (choice.choice(TAKEN),) if at < 0.03 else (choice.choice(NOISE),)
        for text in texts:
            filled = text.format(n=choice.randrange(9), m=choice.randrange(1, 30_000), b=choice.randrange(1, 250))
            yield f"[{DAY * DAYS * n / count:12.6f}] {filled}"


def trace(count: int, choice: random.Random) -> Iterator[str]:
    """Yield lines of a trace."""
    for n in range(count):
        texts = ASKED if choice.random() < 0.01 else (HANDLED,)
        told = {"n": choice.randrange(30, 90), "m": choice.randrange(8), "b": choice.randrange(1, 9), "c": choice.randrange(8)}
        for text in texts:
            yield text.format(t=DAY * DAYS * n / count, **told).rjust(30)


KINDS: dict[str, Callable[[int, random.Random], Iterator[str]]] = {"log": kernel_log, "trace": trace}


def status(pid: int, key: str) -> int:
    """Return a value of /proc/PID/status in MiB."""
    line = next(text for text in Path(f"/proc/{pid}/status").read_text().splitlines() if text.startswith(f"{key}:"))
    return int(line.split()[1]) >> 10


def followed(kind: str, count: int, keep: int) -> bool:
    """Have the lines followed; print what is held, and return whether it stopped to grow."""
    command = [sys.executable, "-P", "-m", "tracekit", "watch", "-", "--config", "none", "-f", "json", "--keep", str(keep)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    begun, held, peak = time.monotonic(), list[int](), 0
    reader = subprocess.Popen(["wc", "-l"], stdin=child.stdout, stdout=subprocess.PIPE, text=True)
    for n, line in enumerate(KINDS[kind](count, random.Random(1)), 1):
        child.stdin.write(line + "\n")
        if n % (count // TENTHS) == 0 and len(held) < TENTHS:
            child.stdin.flush()
            held.append(status(child.pid, "VmRSS"))
            peak = status(child.pid, "VmHWM")
            print(f"{kind}: {n:,} lines, {time.monotonic() - begun:,.0f} s: {held[-1]} MiB, peak {peak} MiB", flush=True)
    child.stdin.close()
    child.stdout.close()
    news = reader.communicate()[0].strip()
    print(f"{kind}: ended with status {child.wait()} after {time.monotonic() - begun:,.0f} s; {news} findings said")
    return held[-1] <= held[2] * 1.2 + 32


def main() -> int:
    """Follow each kind; return 1 where one holds more and more."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=3_000_000)
    options.add_argument("--keep", type=int, default=100_000)
    options.add_argument("--kind", choices=KINDS, action="append")
    told = options.parse_args()
    steady = [followed(kind, told.lines, told.keep) for kind in told.kind or KINDS]
    return 0 if all(steady) else 1


if __name__ == "__main__":
    sys.exit(main())
