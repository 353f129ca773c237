"""Large ordinary logs for the benchmarks: `python benchmarks/inputs.py KIND BYTES > FILE`. Seeded, so every run is the same.

Kinds: `dmesg` (2 % of it of interest), `ftrace` (dense events), `calls` (kprobes of VFIO sessions, several tasks interleaved), `graph`
(function_graph, most of its functions of no interest).
"""

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
HEADER = (
    "# tracer: nop\n#\n#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n#              | |         |   |||||     |         |\n"
)


GRAPH_HEADER = (
    "# tracer: function_graph\n#\n# CPU  TASK/PID         DURATION                  FUNCTION CALLS\n"
    "# |     |    |           |   |                     |   |   |   |\n"
)
NOISE = ("ktime_get", "rcu_read_unlock_strict", "mutex_unlock", "irq_get_irq_data", "msi_lock_descs", "native_apic_msr_write", "kfree")


def lines(kind: str) -> Iterator[str]:
    """Endless lines of one kind."""
    yield from {"dmesg": dmesg, "ftrace": ftrace, "calls": calls, "graph": graph}[kind](random.Random(20170113))


def _values(rnd: random.Random) -> dict[str, int]:
    return {"a": rnd.randint(1, 7), "b": rnd.randint(1000, 99999), "p": rnd.randint(33, 230), "q": rnd.randint(24, 300)}


def dmesg(rnd: random.Random) -> Iterator[str]:
    """An ordinary kernel log, 2 % of it of interest."""
    ts = 0.0
    while True:
        ts += rnd.random() * 0.01
        yield f"[{ts:12.6f}] {rnd.choice(RELEVANT if rnd.random() < 0.02 else ORDINARY).format(**_values(rnd))}\n"


def ftrace(rnd: random.Random) -> Iterator[str]:
    """A dense buffer of interrupt, KVM and scheduler events."""
    ts = 0.0
    yield HEADER
    while True:
        ts += rnd.random() * 0.0001
        v = _values(rnd)
        yield f" qemu-system-x86-{v['b']:<7} [{v['a']:03d}] d.h1. {ts:12.6f}: {rnd.choice(TRACED).format(**v)}\n"


def calls(rnd: random.Random) -> Iterator[str]:
    """Sessions of four tasks at a time, each with a device of its own."""
    ts = 0.0
    yield HEADER
    while True:
        running = [_session(rnd, vectors=rnd.randint(2, 16)) for _ in range(4)]
        pids = [rnd.randint(1000, 99999) for _ in running]
        while running:
            i = rnd.randrange(len(running))
            ts += rnd.random() * 0.0001
            if (text := next(running[i], None)) is None:
                del running[i], pids[i]
            else:
                yield f" qemu-system-x86-{pids[i]:<7} [{i:03d}] ..... {ts:12.6f}: {text}\n"


def _session(rnd: random.Random, vectors: int) -> Iterator[str]:
    """What kprobes show of one VFIO user: opened, all vectors enabled at once, interrupts, closed."""
    vdev, dev = (0xFF11000000000000 + rnd.randrange(1 << 20) * 0x2000 for _ in range(2))
    irq = rnd.randint(24, 2000)
    name = f"0000:{dev >> 13 & 0x7F:02x}:00.0"
    yield from _call("vfio_pci_core_enable", "vfio_pci_open_device", f"vdev={vdev:#x}", 0)
    setup = f"dev={dev:#x} min=1 max={vectors} flags=0x4"
    yield f"k_set_irqs: (vfio_pci_set_irqs_ioctl+0x4/0xd0 [vfio_pci_core]) vdev={vdev:#x} flags=0x24 index=2 start=0 count={vectors}"
    yield f"k_alloc: (pci_alloc_irq_vectors_affinity+0x4/0x110) {setup}"
    yield f"k_msix: (__pci_enable_msix_range+0x4/0x520) dev={dev:#x} minvec=1 maxvec={vectors}"
    yield f"k_setup: (pci_setup_msix_device_domain+0x4/0xa0) dev={dev:#x} hwsize=16"
    yield from _call("msi_create_device_irq_domain", "pci_create_device_domain", f"dev={dev + 0xC8:#x} domid=0 hwsize=16", 1)
    yield "r_setup: (__pci_enable_msix_range+0x1a4/0x520 <- pci_setup_msix_device_domain) ret=1"
    for n in range(vectors):
        yield from _call("msi_insert_desc", "msix_setup_msi_descs", f"dev={dev + 0xC8:#x} domid=0 index={n}", 0)
        yield f"vector_activate: irq={irq + n} is_managed=0 can_reserve=1 reserve=1"
    yield f"r_msix: (pci_alloc_irq_vectors_affinity+0xa9/0x110 <- __pci_enable_msix_range) ret={vectors}"
    yield f"r_alloc: (vfio_pci_set_msi_trigger+0xcc/0x310 [vfio_pci_core] <- pci_alloc_irq_vectors_affinity) ret={vectors}"
    for n in range(vectors):
        yield f"k_vec: (vfio_msi_set_vector_signal+0x4/0x2a0 [vfio_pci_core]) vdev={vdev:#x} vector={n} fd={n + 7} msix=1"
        yield f"vector_alloc: irq={irq + n} vector={34 + n} reserved=1 ret=0"
        yield "r_vec: (vfio_msi_set_block+0x76/0xd0 [vfio_pci_core] <- vfio_msi_set_vector_signal) ret=0"
    yield "r_set_irqs: (vfio_pci_core_ioctl+0x965/0x1090 [vfio_pci_core] <- vfio_pci_set_irqs_ioctl) ret=0"
    for _ in range(rnd.randint(0, 40)):
        n = rnd.randrange(vectors)
        yield f"irq_handler_entry: irq={irq + n} name=vfio-msix[{n}]({name})"
        yield f"irq_handler_exit: irq={irq + n} ret=handled"
    yield f"k_set_irqs: (vfio_pci_set_irqs_ioctl+0x4/0xd0 [vfio_pci_core]) vdev={vdev:#x} flags=0x21 index=2 start=0 count=0"
    yield from _call("pci_free_irq_vectors", "vfio_msi_disable", f"dev={dev:#x}", 0)
    yield "r_set_irqs: (vfio_pci_core_disable+0x65/0x390 [vfio_pci_core] <- vfio_pci_set_irqs_ioctl) ret=0"


def _call(function: str, caller: str, args: str, ret: int) -> Iterator[str]:
    yield f"k_{function}: ({function}+0x4/0x130) {args}"
    yield f"r_{function}: ({caller}+0xe1/0x220 <- {function}) ret={ret}"


def graph(rnd: random.Random) -> Iterator[str]:
    """Enables of devices in a function graph: a hundred functions that nobody asks for around each one that somebody does."""
    yield GRAPH_HEADER
    while True:
        cpu, pid, vectors = rnd.randint(0, 1), rnd.randint(100, 9999), rnd.randint(1, 8)
        for depth, text in _enable(rnd, vectors):
            duration = f"{rnd.random() * 9:.3f} us   " if text.endswith(";") or text.startswith("}") else " " * 14
            yield f" {cpu})  qemu-kvm-{pid:<5}|  {duration:>14}|  {' ' * (2 * depth)}{text}\n"


def _enable(rnd: random.Random, vectors: int) -> Iterator[tuple[int, str]]:
    """(depth, text) of the calls of one enable."""
    chain = ("vfio_pci_set_irqs_ioctl", "vfio_pci_set_msi_trigger", "pci_alloc_irq_vectors_affinity", "__pci_enable_msix_range")
    yield from ((depth, f"{f}() {{") for depth, f in enumerate(chain))
    for _ in range(vectors):
        yield from ((4, f"{f}();") for f in rnd.choices(NOISE, k=30))
        yield 4, "msi_insert_desc() {"
        yield from ((5, f"{f}();") for f in rnd.choices(NOISE, k=3))
        yield 4, "}"
        yield 4, "irq_domain_alloc_descs() {"
        for _ in range(20):
            yield 5, "__irq_get_desc_lock() {"
            yield from ((6, f"{f}();") for f in rnd.choices(NOISE, k=2))
            yield 5, "}"
        yield 4, "}"
    yield from ((depth, "}") for depth in reversed(range(len(chain))))


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
