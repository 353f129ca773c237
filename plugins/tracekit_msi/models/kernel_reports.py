"""The kernel's own reports (WARNING, BUG, Oops) whose cause stands in its MSI code."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from tracekit import Inputs, Model, Row, Table, near
from tracekit_msi.tables import KERNEL_REPORTS

# Functions of the MSI core, MSI irq domains, VFIO's and Xen's MSI code; not of the drivers of MSI's laptops.
MSI_CODE = re.compile(
    r"^(?:(?:__)?msi_(?!wmi|ec_|laptop|platform)|pci_msix?_|pci_msi[a-z]|__pci_enable_msix?_range|pci_enable_msi|pci_disable_msi|__?msix?_|msix_|its_\w*msi|populate_msi_sysfs"
    r"|(?:pci_)?free_msi_irqs|pci_(?:alloc|free)_irq_vectors|(?:arch|default|native|x86|hv|iommu_dma)_\w*msi"
    r"|vfio_msi_|xen_\w*msi|xen_free_irq|irq_startup)"
)
# Functions of the controllers that make interrupts of messages (drivers/irqchip, drivers/pci/controller, arch/powerpc): only where one is
# the place of the report. Not `its_return_thunk` and its like, x86's mitigation of that name.
CONTROLLER = re.compile(
    r"^(?:its_(?:irq_|send_|cpu_init|init$|probe|map_|unmap_|alloc_|create_|device_|vpe_|sgi_|lpi_|build_|enable_|wait_for_)|gicv5_its_|gicv2m_"
    r"|imsic_|(?:dw|brcm|mtk|plda|aplic|pch|pnv|opal|pseries|rtas|mpic|fsl|u3|zpci|iproc|xgene|altera|rcar|rzg3s|tegra|advk|mvebu|armada_370_xp"
    r"|loongson|avecintc|nwl|xilinx|octeon|sg204[24]|cdns)_\w*msi)"
)
# Files of the MSI core, in the head of a report: `at drivers/pci/msi.c:1272`, `/build/linux-3.13.0/drivers/pci/msi/msi.c:376!`.
MSI_FILE = re.compile(r"(?:^|\bat |/)(?:drivers/pci/msi(?:/\w+)?|kernel/irq/msi)\.[ch]:[0-9]+")
# Xen's functions and files of the same.
XEN_CODE = re.compile(r"^(?:(?:__)?pci_(?:enable|disable|prepare|restore|cleanup)_msix?|v?msix?_|msixtbl_|vpci_msix?_|msix_)")
XEN_FILE = re.compile(r"(?:^|/)(?:v?msi|msix)\.c:[0-9]+$")
# An interrupt handler of VFIO: it signals an eventfd and nothing else, so it is the cause only where signalling it warns.
HANDLER = re.compile(r"^vfio_\w*(?:handler|eventfd)$")
SIGNAL = re.compile(r"^eventfd_signal")
NEAREST = 3  # frames from the top in which that handler stands
CORE = "the MSI core"  # where no function is told
# A CPU or a pool that hangs: it says where, not what broke.
HANGS = re.compile(r"(?:soft|workqueue) lockup")
# The tracer itself, warned about by its own code.
TRACER = re.compile(r"^(?:prepare_ftrace_return|trace_recursion|trace_test_and_set_recursion|ftrace_)")
# What prints a stack, and what calls it for a report of the kernel's own.
PRINTER = re.compile(r"^(?:__)?(?:dump_stack|dump_backtrace|show_stack|show_trace)")
REPORTER = re.compile(
    r"^_*(?:warn|report_bug|panic|die|oops|bug|nmi_|lockdep|print_\w*(?:bug|deadlock)|kasan_|ubsan_|bad_page|note_interrupt|report_bad_irq)"
)
NAMES = {"pci_function_named", "net_interface_named"}  # name what a report may be about; most logs have no other of these lines
# What follows the size of a function in a probe's line, which may be wrapped: `(f+0x4/0xa0) dev=0x1`, `(f+0x4/0xa0 [m] <- g) ret=0`.
PROBED = re.compile(r"^[0-9a-f]+(?: \[\w+\])?(?: <-(?: |$)|\) \w+=)")
FRAMES = 10  # reliable frames, from the top, that can show what failed
REACH = 80  # lines between the head of a report and its frames
REACH_MS = 1000  # a report is printed at once; no shorter than the coarsest stamp


@dataclass
class Report:
    """A report whose lines are being collected."""

    last: Row  # the latest of its lines
    head: Row | None
    kind: str  # warning, oops, bare, other
    function: str | None = None
    lines: list[Row] = field(default_factory=list)
    traced: bool = False
    frames: int = 0
    printed: bool = False  # its top frame is a function that prints a stack
    chain: list[int] = field(default_factory=list)
    in_msi: bool = False
    of_vfio: bool = False  # one of its reliable frames is VFIO's
    where: tuple[str, Row] | None = None  # the MSI function, and its line
    position: Row | None = None
    rbx: Row | None = None
    rbp: Row | None = None
    named: Row | None = None  # the line that names the function, before the report
    what: str | None = None  # what happened, where it is Xen that reports


class KernelReports(Model):
    """Collect the reports in which a function of the MSI code is the place or one of the first ten reliable frames."""

    tables: ClassVar[tuple[Table, ...]] = (KERNEL_REPORTS,)

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, Report] = {}
        self.named: dict[str, Row] = {}
        self.interfaces: dict[tuple[str, str], Row] = {}
        self.stood: dict[str, Row] = {}  # where the CPU stood, of a report whose head was cut off
        self.leaks: dict[str, tuple[Row, Row | None]] = {}  # the leak, and the line that names its interface

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        """Leave out a stream that only names what a report may be about: it took a sixth of a large dmesg's replay."""
        if not NAMES.issuperset(tables):
            super().play(rows, tables)

    def on_pci_function_named(self, e: Row) -> None:
        self.named[e.source] = e

    def on_net_interface_named(self, e: Row) -> None:
        self.interfaces[e.source, e.interface] = e

    def on_proc_entry_leaked(self, e: Row) -> None:
        owner = (r for (source, name), r in self.interfaces.items() if source == e.source and e.action.startswith(name))
        self.leaks[e.source] = e, next(owner, None)

    def on_kernel_warning(self, e: Row) -> None:
        kind = "other" if TRACER.match(e.function) else "warning"
        self._begin(Report(e, e, kind, e.function))

    def on_kernel_oops(self, e: Row) -> None:
        report = self._at(e)
        if report is not None and report.kind == "oops" and not report.traced:
            report.last = e
            return  # BUG, Oops and panic are lines of one report
        what = e.what or ""
        kind = "other" if HANGS.match(what) else "warning" if what.startswith("warning at ") else "oops"  # a warning: up to 2.6.20
        self._begin(Report(e, e, kind))

    def on_lockdep_report(self, e: Row) -> None:
        self._begin(Report(e, e, "other"))

    def on_task_dump(self, e: Row) -> None:
        self._begin(Report(e, e, "other"))

    def on_cpu_position(self, e: Row) -> None:
        report = self._at(e)
        if report is None and e.function is not None and (SIGNAL.match(e.function) or MSI_CODE.match(e.function)):
            before = self.stood.get(e.source)  # of one report the return address comes second
            self.stood[e.source] = before if before is not None and near(before, e, REACH, REACH_MS) else e
        if report is not None and not report.traced:
            first = report.position is None
            report.position = report.position or e
            report.function = report.function or e.function
            if e.function is not None:
                self._seen(report, e.function, e, place=first)

    def on_call_trace_begin(self, e: Row) -> None:
        report = self._at(e)
        if report is not None and (report.kind == "other" or not report.frames):
            report.traced, report.last = True, e
        else:
            stood = self.stood.pop(e.source, None)
            report = self._begin(Report(e, None, "bare", traced=True))
            if stood is not None and near(stood, e, REACH, REACH_MS):
                report.position, report.function = stood, stood.function
                if MSI_CODE.match(stood.function):
                    self._seen(report, stood.function, stood)

    def on_call_frame(self, e: Row) -> None:
        if PROBED.match(e.rest):
            return
        report = self._at(e)
        if report is None:
            report = self._begin(Report(e, None, "bare", traced=True))
        report.last = e
        if e.mark is None and report.traced:
            report.frames += 1
            report.of_vfio = report.of_vfio or e.frame_function.startswith("vfio_")
            self._on_purpose(report, e.frame_function)
            if report.frames <= FRAMES:
                self._seen(report, e.frame_function, e)
            if report.frames <= NEAREST:
                self._signalled(report, e)
            self._chain(report, e)

    def _on_purpose(self, report: Report, function: str) -> None:
        """Drop a trace without a head that somebody printed: its top prints stacks, and no function that reports an error called that."""
        printer = PRINTER.match(function) is not None
        if report.kind == "bare" and report.printed and not printer:
            report.kind = "bare" if REPORTER.match(function) else "other"
            report.printed = False
        elif report.frames == 1:
            report.printed = printer

    def on_xen_report(self, e: Row) -> None:
        """Begin a report of the hypervisor; Xen tells its head again where it stops."""
        report = self._begin(Report(e, e, "warning" if e.halt == "WARN" else "oops"))
        report.what = f"Xen {e.halt or 'assertion failed'} at {e.place}"
        if XEN_FILE.search(e.place):
            report.where = CORE, e
            report.lines.append(e)

    def on_xen_trace_begin(self, e: Row) -> None:
        if (report := self._at(e)) is not None and report.what is not None and not report.frames:
            report.traced, report.last = True, e

    def on_xen_frame(self, e: Row) -> None:
        report = self._at(e)
        if report is None or report.what is None or not report.traced:
            return
        report.last = e
        report.frames += 1
        report.function = report.function or e.frame_function
        if report.frames <= FRAMES and XEN_CODE.match(e.frame_function) and (report.where is None or report.where[0] == CORE):
            report.where = e.frame_function.partition(".")[0], e
            report.lines.append(e)

    def on_registers_rbx(self, e: Row) -> None:
        if (report := self._at(e)) is not None and report.rbx is None:
            report.rbx = e

    def on_registers_rbp(self, e: Row) -> None:
        if (report := self._at(e)) is not None and report.rbp is None:
            report.rbp = e

    def on_end(self) -> None:
        for report in list(self.open.values()):
            self._close(report)

    def _at(self, e: Row) -> Report | None:
        """Return the report that a line belongs to, if it is near enough."""
        report = self.open.get(e.source)
        return report if report is not None and near(report.last, e, REACH, REACH_MS) else None

    def _begin(self, report: Report) -> Report:
        first = report.last
        if (old := self.open.get(first.source)) is not None:
            self._close(old)
        report.named = self.named.get(first.source)
        self.open[first.source] = report
        if report.function is not None:
            self._seen(report, report.function, first, place=True)
        told = report.head and (getattr(report.head, "place", None) or getattr(report.head, "what", None))
        if report.where is None and report.kind != "other" and MSI_FILE.search(told or ""):
            report.where = (report.function or "").partition(".")[0] or CORE, first
            report.lines.append(first)
        return report

    def _seen(self, report: Report, function: str, e: Row, place: bool = False) -> None:
        """Take a function of MSI code, or of a controller where the report stands in it."""
        report.lines.append(e)
        own = MSI_CODE.match(function) or place and CONTROLLER.match(function)
        if (report.where is None or report.where[0] == CORE) and own:
            report.where = function.partition(".")[0], e

    def _signalled(self, report: Report, e: Row) -> None:
        """Take the handler of VFIO that called eventfd_signal(), where that is the place of the report."""
        if report.where is None and SIGNAL.match(report.function or "") and HANDLER.match(e.frame_function):
            report.where = e.frame_function, e

    def _chain(self, report: Report, e: Row) -> None:
        """Return the frames of MSI code, and the frame that called them."""
        own = MSI_CODE.match(e.frame_function) is not None
        if (own or report.in_msi) and len(report.chain) <= FRAMES:
            report.chain.append(e.line)
        report.in_msi = own

    def _close(self, report: Report) -> None:
        if report.where is None or report.kind == "other":
            return
        function, line = report.where
        row = report.head or report.lines[0]
        leak, owner = self.leaks.get(row.source, (None, None)) if report.function == "remove_proc_entry" else (None, None)
        if leak is None or not near(leak, row, 2):
            leak, owner = None, None
        named, how = _named(report, row, leak, owner)
        told = (leak, named, report.position, *((report.rbx, report.rbp) if report.function == "iounmap" else ()))
        self.emit(
            "kernel_reports",
            row,
            kind=report.kind,
            place=None if report.what else getattr(report.head, "place", None),
            function=report.function,
            msi_function=function,
            msi_line=line.line,
            what=report.what or getattr(report.head, "what", None),
            rbx=report.rbx.rbx if report.rbx is not None else None,
            rbp=report.rbp.rbp if report.rbp is not None else None,
            named=named.bdf if named is not None else None,
            how=how,
            frames=report.frames,
            lines=sorted({row.line, line.line, *report.chain, *(r.line for r in told if r is not None)}),
            line_end=line.line,
        )


def _named(report: Report, row: Row, leak: Row | None, owner: Row | None) -> tuple[Row | None, str | None]:
    """Return the line that names the PCI function: by the interface whose irq leaked, else the last vfio-pci line before."""
    if leak is not None and owner is not None:
        return owner, f"inferred: {leak.action} is of {owner.interface} (line {owner.line})"
    if (report.function == "iounmap" or report.of_vfio) and report.named is not None and near(report.named, row, REACH, REACH_MS):
        return report.named, f"inferred: the last function vfio-pci named before (line {report.named.line})"
    return None, None
