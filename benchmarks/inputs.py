"""Large ordinary logs for the benchmarks: `python benchmarks/inputs.py dmesg|ftrace BYTES > FILE`. Seeded, so every run is the same."""

import random
import sys
from collections.abc import Iterator

ORDINARY = (
    "usb 2-{a}: new SuperSpeed USB device number {a} using xhci_hcd",
    "EXT4-fs (dm-{a}): mounted filesystem with ordered data mode. Quota mode: none.",
    "IPv6: ADDRCONF(NETDEV_CHANGE): veth{b}: link becomes ready",
    "docker0: port {a}(veth{b}) entered forwarding state",
    "systemd[1]: Started session-{b}.scope - Session {b} of User build.",
    'audit: type=1400 audit(17{b}.511:{b}): apparmor="ALLOWED" operation="open" profile="unconfined" pid={b} comm="cron"',
    "pcieport 0000:0{a}:01.0: AER: Corrected error received: 0000:0{a}:01.0",
    "clocksource: timekeeping watchdog on CPU{a}: hpet wd-wd read-back delay of {b}ns",
    "perf: interrupt took too long ({b} > {b}), lowering kernel.perf_event_max_sample_rate to {b}",
)
RELEVANT = (
    "vfio-pci 0000:3b:00.{a}: enabling device (0000 -> 0002)",
    "xen:events: creating evtchn using pirq {p} irq {q}",
    "xen:events: xen_destroy_irq: pirq {p} irq {q}",
    "nvme nvme{a}: {a}/0/0 default/read/poll queues",
)
TRACED = (
    "irq_handler_entry: irq={q} name=vfio-msix[{a}](0000:3b:00.1)",
    "irq_handler_exit: irq={q} ret=handled",
    "irq_handler_entry: irq={q} name=ens{a}f0-TxRx-{a}",
    "irq_handler_exit: irq={q} ret=handled",
    "kvm_msi_set_irq: dst {a} vec {p} (Fixed|physical|edge)",
    "kvm_set_irq: gsi {q} level 1 source 0",
    "sched_wakeup: comm=vhost-{b} pid={b} prio=120 target_cpu=00{a}",
    "sched_switch: prev_comm=swapper/{a} prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=CPU {a}/KVM next_pid={b} next_prio=120",
)
HEADER = "# tracer: nop\n#\n#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n#              | |         |   |||||     |         |\n"


def lines(kind: str) -> Iterator[str]:
    """Endless lines of an ordinary dmesg (2 % of them of interest) or of a dense ftrace buffer."""
    rnd = random.Random(20170113)
    ts = 0.0
    if kind == "ftrace":
        yield HEADER
    while True:
        values = {"a": rnd.randint(1, 7), "b": rnd.randint(1000, 99999), "p": rnd.randint(33, 230), "q": rnd.randint(24, 300)}
        if kind == "dmesg":
            ts += rnd.random() * 0.01
            yield f"[{ts:12.6f}] {rnd.choice(RELEVANT if rnd.random() < 0.02 else ORDINARY).format(**values)}\n"
        else:
            ts += rnd.random() * 0.0001
            yield f" qemu-system-x86-{values['b']:<7} [{values['a']:03d}] d.h1. {ts:12.6f}: {rnd.choice(TRACED).format(**values)}\n"


def write(kind: str, size: int, out: object) -> None:
    """Write `size` bytes of `kind` to a text stream."""
    written = 0
    for line in lines(kind):
        out.write(line)  # type: ignore[attr-defined]
        written += len(line)
        if written >= size:
            return


if __name__ == "__main__":
    write(sys.argv[1], int(float(sys.argv[2])), sys.stdout)
