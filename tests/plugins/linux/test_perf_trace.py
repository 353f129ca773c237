"""Probes and ioctls as `perf trace` prints them: zeros left out, addresses as signed numbers, calls that other lines cut in two."""

import pytest

from tracekit.findings import Finding
from tracekit.testing import findings, tables

FUNCTIONS = {"set_irqs": -1070665404, "set_irqs_ret": -1070665408, "signal": -1070669120, "signal_ret": -1070669124}
VDEV = -67272519351531520


class PerfTrace:
    """Writes what `perf trace` would; one thread or several."""

    def __init__(self, task: str = "qemu-system-x86/4711 ") -> None:
        self.task, self.at, self.lines = task, 126_830.915, list[str]()

    def line(self, text: str, took: str = "         ") -> None:
        self.at += 0.25
        self.lines.append(f"{self.at:10.3f} ({took}): {self.task}{text}")

    def probe(self, name: str, kind: str = "__probe_ip", **values: int | str) -> None:
        told = "".join(f", {k}: {v}" for k, v in values.items() if v != 0)
        self.line(f"kprobes:{name}({kind}: {FUNCTIONS[name]}{', __probe_ret_ip: -1070674071' if kind == '__probe_func' else ''}{told})")

    def set_irqs(self, flags: int, count: int, ret: int = 0, index: int = 2) -> None:
        self.line("ioctl(fd: 7, cmd: (NONE, 0x3b, 0x6e, 0), arg: 0x5e636e0)            ...")
        at = self.at
        self.probe("set_irqs", vdev=VDEV, flags=flags, index=index, start=0, count=count)
        for vector in range(count if not ret else 0):
            self.probe("signal", vdev=VDEV, vector={2: "NMI"}.get(vector, hex(vector) if vector else 0), fd=8 + vector)
            self.probe("signal_ret", "__probe_func", ret=0)
        self.probe("set_irqs_ret", "__probe_func", ret=ret & 0xFFFFFFFF)
        result = "= 0" if not ret else "= -1 ERANGE (Numerical result out of range)"
        self.at, late = at - 0.25, self.at
        self.line(f" ... [continued]: ioctl())                                            {result}", " 2.900 ms")
        self.at = late

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"


def grown(task: str = "qemu-system-x86/4711 ", ret: int = 0) -> str:
    t = PerfTrace(task)
    t.set_irqs(0x24, 1)
    t.set_irqs(0x21, 0)
    t.set_irqs(0x24, 3, ret)
    t.set_irqs(0x21, 5, -25, index=5)
    return str(t)


@pytest.mark.parametrize("task", ["qemu-system-x86/4711 ", "CPU 0/KVM/4711 ", ""])
def test_what_is_left_out_is_zero(task: str) -> None:
    found = tables(grown(task))
    asked = [(0x24, 2, 1, 0), (0x21, 2, 0, 0), (0x24, 2, 3, 0), (0x21, 5, 5, -25)]
    assert found["op_set_irqs"].select("flags", "index", "count", "ret").rows() == asked
    assert found["op_set_irqs"]["start"].to_list() == [None] * 4  # never printed: the recorder may not have asked for it
    named = tables(grown(task), kprobe_events=DEFINED)
    assert named["op_set_irqs"].select("start", "hint").rows() == [(0, False)] * 4
    assert named["op_vector"]["ret"].to_list() == [0] * 4
    assert found["op_vector"]["vector"].to_list() == [0, 0, 1, 2]
    assert found["op_set_irqs"]["vdev"].unique().to_list() == [VDEV & (2**64 - 1)]
    assert found["calls"].filter(found["calls"]["function"] == "sys_ioctl").select("begin", "end").row(0) == (
        126_831_165_000,
        126_834_065_000,
    )


DEFINED = "\n".join(
    [
        "p:kprobes/set_irqs vfio_pci_set_irqs_ioctl vdev=%di flags=%si:u32 index=%dx:u32 start=%cx:u32 count=%r8:u32",
        "r:kprobes/set_irqs_ret vfio_pci_set_irqs_ioctl ret=$retval:s32",
        "p:kprobes/signal vfio_msi_set_vector_signal vdev=%di vector=%si:s32 fd=%dx:s32",
        "r:kprobes/signal_ret vfio_msi_set_vector_signal ret=$retval:s32",
    ]
)


def of(code: str, found: list[Finding]) -> list[tuple[str | None, int]]:
    return [(f.grade, len(f.windows)) for f in found if f.code == code]


def test_a_growth_is_a_window_and_definitions_make_it_sure() -> None:
    assert of("VFIO-002", findings(grown())) == [("probable", 1)]
    assert of("VFIO-002", findings(grown(), kprobe_events=DEFINED)) == [("probable", 1)]  # no handlers: use is not known
    handled = '126831.900 (         ): swapper/1/0 irq:irq_handler_entry(irq: 29, name: "vfio-msix[0](0000:00:08.0)")\n'
    lines = grown().splitlines(keepends=True)
    used = "".join([*lines[:6], handled, *lines[6:]])
    (f,) = [f for f in findings(used, kprobe_events=DEFINED) if f.code == "VFIO-002"]
    assert (f.grade, f.subject.bdf, f.windows[0]["vectors_in_use"]) == ("proven", "0000:00:08.0", [0])


def test_an_enable_that_was_refused() -> None:
    assert [(f.code, f.grade) for f in findings(grown(ret=-34)) if f.code.startswith("VFIO")] == [("VFIO-003", "probable")]


@pytest.mark.parametrize("command", ["(NONE, 0x3b, 0x6e, 0)", "VFIO_DEVICE_SET_IRQS"])
@pytest.mark.parametrize("fd", ["7", "7<anon_inode:[vfio-device]>"])
def test_an_ioctl_alone_has_its_errno(command: str, fd: str) -> None:
    line = f"126830.915 ( 0.798 ms): vfioirq/210 ioctl(fd: {fd}, cmd: {command}, arg: 0x4b3300)    = -1 ERANGE (Numerical result out of range)\n"
    (row,) = tables(line)["calls"].select("function", "ret", "complete", "begin", "end").rows()
    assert row == ("sys_ioctl", -34, "both", 126_830_915_000, None)
    assert [(f.code, f.grade) for f in findings(line)] == [("MSI-001", "possible")]


def test_ioctls_of_other_drivers_are_none() -> None:
    line = "126830.915 ( 0.798 ms): qemu/210 ioctl(fd: 5, cmd: (NONE, 0xae, 0x80, 0), arg: 0x0)    = -1 ERANGE (Numerical result out of range)\n"
    assert findings(line) == []
