"""What a driver does wrong with an irq, as the irq core warns of it: with the driver that its stack trace names."""

import re
from collections.abc import Iterable
from typing import ClassVar

from tracekit import Inputs, Model, Row, Table, near
from tracekit_msi.tables import IRQ_MISUSES

BEGINS = ("irq_freed_twice", "irq_handler_enabled")
# What stands above the driver on the stack: the warning itself, and what frees for it.
ABOVE = re.compile(
    r"_*(?:free_irq|warn\w*|report_bug|handle_bug|exc_invalid_op|asm_exc_invalid_op|invalid_op|do_invalid_op|do_error_trap|do_trap|fixup_bug"
    r"|(?:pci_)?free_msi_irqs|pci_disable_msix?|pci_free_irq_vectors|dump_stack\w*|dump_backtrace|show_stack|show_trace\w*|pci_free_irq|bug_handler|call_break_hook|brk_handler|do_debug_exception"
    r"|el1\w*|program_check_exception|do_bp|handle_bp_int|note_page_fault_oops)$"
)
# Not the driver: who frees what a driver left, or calls it.
CORE = re.compile(
    r"_*(?:devm?_\w*|devres_\w*|release_nodes|device_\w+|driver_\w+|really_probe|bus_\w+|pci_(?:device|bus)_\w+|kthread|do_\w+|sys_\w+)$"
)
FRAMES = 12  # reliable frames that are looked at
REACH, REACH_MS = 80, 1000  # lines, and time, of one report
HEAD = 10  # lines between the head of the WARNING and its message


class IrqMisuses(Model):
    """Emit each irq that was freed and not held, and each handler that switched interrupts on."""

    tables: ClassVar[tuple[Table, ...]] = (IRQ_MISUSES,)

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, tuple[Row, str, str | None]] = {}  # the message, what it says, and the handler or its module
        self.heads: dict[str, Row] = {}
        self.seen: dict[str, int] = {}  # reliable frames below the message
        self.lines: dict[str, list[int]] = {}

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        """Leave out a stream without such a message: stack traces are many."""
        if any(name in tables for name in BEGINS):
            super().play(rows, tables)

    def on_irq_freed_twice(self, e: Row) -> None:
        head = self.heads.get(e.source)
        self._begin(e, "freed", None)
        if head is not None and head.function.lstrip("_").startswith("free_irq") and near(head, e, HEAD, REACH_MS):
            self.lines[e.source].append(head.line)  # kernels up to 4.x print the head first

    def on_irq_handler_enabled(self, e: Row) -> None:
        self._begin(e, "enabled", e.function_place.partition("+")[0])

    def on_kernel_warning(self, e: Row) -> None:
        self.heads[e.source] = e
        found = self.open.get(e.source)
        if found is None:
            return
        own = e.function.lstrip("_").startswith(("free_irq", "handle_irq_event"))
        if own and not self.seen[e.source] and near(found[0], e, HEAD, REACH_MS):
            self.lines[e.source].append(e.line)
        else:
            self._close(e.source, None)

    def on_call_frame(self, e: Row) -> None:
        found = self.open.get(e.source)
        if found is None or e.mark is not None:
            return
        row, what, _ = found
        self.seen[e.source] += 1
        if not near(row, e, REACH, REACH_MS) or self.seen[e.source] > FRAMES:
            self._close(e.source, None)
        elif what == "freed" and not ABOVE.match(e.frame_function):
            own = CORE.match(e.frame_function) is None
            if own:
                self.lines[e.source].append(e.line)
            self._close(e.source, e.frame_function if own else None)

    def on_end(self) -> None:
        for source in list(self.open):
            self._close(source, None)

    def _begin(self, e: Row, what: str, function: str | None) -> None:
        if e.source in self.open:
            self._close(e.source, None)
        self.open[e.source] = e, what, function
        self.seen[e.source], self.lines[e.source] = 0, [e.line]

    def _close(self, source: str, caller: str | None) -> None:
        row, what, function = self.open.pop(source)
        self.emit("irq_misuses", row, what=what, irq=row.irq, function=function or caller, lines=sorted(set(self.lines.pop(source))))
