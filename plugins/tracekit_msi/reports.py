"""The kernel's own reports (WARNING, BUG, Oops) whose cause stands in its MSI code."""

import re
from dataclasses import dataclass, field
from typing import ClassVar

import polars as pl

from tracekit import Model, Row, Schema

# Functions of the MSI core, MSI irq domains, VFIO's and Xen's MSI code.
MSI_CODE = re.compile(
    r"^(?:(?:__)?msi_|pci_msix?_|pci_msi[a-z]|__pci_enable_msix?_range|pci_enable_msi|pci_disable_msi|__?msix?_|msix_|its_\w*msi|populate_msi_sysfs"
    r"|vfio_msi_|xen_\w*msi|xen_free_irq|irq_startup)"
)
# The tracer itself, warned about by its own code.
TRACER = re.compile(r"^(?:prepare_ftrace_return|trace_recursion|trace_test_and_set_recursion|ftrace_)")
FRAMES = 10  # reliable frames that can tell what failed
REACH = 80  # lines between the head of a report and its frames


@dataclass
class Report:
    """A report while its lines come."""

    head: Row | None
    kind: str  # warning, oops, bare, other
    function: str | None = None
    lines: list[Row] = field(default_factory=list)
    traced: bool = False
    frames: int = 0
    where: tuple[str, Row] | None = None  # the MSI function, and its line
    rbx: int | None = None
    rbp: int | None = None
    last: int = 0


class KernelReports(Model):
    """One row a report in which a function of the MSI code is the place or one of the first ten reliable frames (`kernel_reports`).

    `kind`: warning, oops, or bare (frames without a head); `place`: file and line of a WARNING; `named`: the PCI function that vfio-pci
    named last before; `rbx`, `rbp`: registers, which hold the pci_dev and the errno in the error path of __pci_enable_msix_range (6.12).
    """

    tables: ClassVar[dict[str, Schema]] = {
        "kernel_reports": {
            "kind": pl.String(),
            "place": pl.String(),
            "function": pl.String(),
            "msi_function": pl.String(),
            "msi_line": pl.Int64(),
            "what": pl.String(),
            "rbx": pl.UInt64(),
            "rbp": pl.UInt64(),
            "named": pl.String(),
            "named_line": pl.Int64(),
        }
    }

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, Report] = {}
        self.named: dict[str, Row] = {}

    def on_pci_function_named(self, e: Row) -> None:
        self.named[e.source] = e

    def on_kernel_warning(self, e: Row) -> None:
        kind = "other" if TRACER.match(e.function) else "warning"
        self._begin(e, Report(e, kind, e.function))

    def on_kernel_oops(self, e: Row) -> None:
        report = self.open.get(e.source)
        if report is not None and report.kind == "oops" and not report.traced and e.line - report.last < REACH:
            report.last = e.line
            return  # BUG, Oops and panic are lines of one report
        self._begin(e, Report(e, "oops"))

    def on_lockdep_report(self, e: Row) -> None:
        self._begin(e, Report(e, "other"))

    def on_task_dump(self, e: Row) -> None:
        self._begin(e, Report(e, "other"))

    def on_cpu_position(self, e: Row) -> None:
        report = self._at(e)
        if report is not None and not report.traced:
            report.function = report.function or e.function
            self._seen(report, e.function, e)

    def on_call_trace_begin(self, e: Row) -> None:
        report = self._at(e)
        if report is None or report.traced and report.frames:
            if report is not None and report.kind == "other":
                report.last = e.line
                return
            self._begin(e, Report(None, "bare", traced=True, last=e.line))
        else:
            report.traced, report.last = True, e.line

    def on_call_frame(self, e: Row) -> None:
        report = self._at(e)
        if report is None:
            report = self._begin(e, Report(None, "bare", traced=True))
        report.last = e.line
        if e.mark is None and report.traced:
            report.frames += 1
            if report.frames <= FRAMES:
                self._seen(report, e.frame_function, e)

    def on_registers_rbx(self, e: Row) -> None:
        if (report := self._at(e)) is not None and report.rbx is None:
            report.rbx = e.rbx

    def on_registers_rbp(self, e: Row) -> None:
        if (report := self._at(e)) is not None and report.rbp is None:
            report.rbp = e.rbp

    def on_end(self) -> None:
        for report in list(self.open.values()):
            self._close(report)

    def _at(self, e: Row) -> Report | None:
        """The report a line belongs to, if it is near enough."""
        report = self.open.get(e.source)
        return report if report is not None and e.line - report.last < REACH else None

    def _begin(self, e: Row, report: Report) -> Report:
        if (old := self.open.get(e.source)) is not None:
            self._close(old)
        report.last = e.line
        self.open[e.source] = report
        if report.function is not None and report.kind == "warning":
            self._seen(report, report.function, e)
        return report

    def _seen(self, report: Report, function: str, e: Row) -> None:
        report.lines.append(e)
        if report.where is None and MSI_CODE.match(function):
            report.where = function.partition(".")[0], e

    def _close(self, report: Report) -> None:
        if report.where is None or report.kind == "other":
            return
        function, line = report.where
        row = report.head or report.lines[0]
        named = self.named.get(row.source)
        known = named is not None and named.line < row.line and row.line - named.line < 200
        self.emit(
            "kernel_reports",
            row,
            kind=report.kind,
            place=getattr(report.head, "place", None),
            function=report.function,
            msi_function=function,
            msi_line=line.line,
            what=getattr(report.head, "what", None),
            rbx=report.rbx,
            rbp=report.rbp,
            named=named.bdf if known and named is not None else None,
            named_line=named.line if known and named is not None else None,
            line_end=line.line,
        )
