"""Faults of Arm's SMMU in one form: events in words, context faults, and events as four raw words."""

from typing import ClassVar

from tracekit import Model, Row, Table, near
from tracekit_irq.models.remap import bdf_of
from tracekit_irq.tables import SMMU_FAULTS

WORDS = 4
ADDRESSED = range(0x10, 0x14)  # F_TRANSLATION, F_ADDR_SIZE, F_ACCESS, F_PERMISSION: word 2 is the address (SMMUv3, 7.3)
REACH = 8
HALF = 0xFFFFFFFF  # of a word, where a person parted it


class SmmuFaults(Model):
    """Convert faults of an SMMU into one form, with the function or stream id where it is printed."""

    tables: ClassVar[tuple[Table, ...]] = (SMMU_FAULTS,)

    def __init__(self) -> None:
        super().__init__()
        self.head: Row | None = None
        self.words: list[int] = []

    def on_smmu_event(self, e: Row) -> None:
        """Read an event in words; one that is about no access has no address."""
        if e.iova is not None:
            self.emit("smmu_faults", e, bdf=bdf_of(e.client), sid=e.sid, iova=e.iova, line_end=e.line)

    def on_smmu_context_fault(self, e: Row) -> None:
        """Read a context fault; its stream id stands among the registers, if at all."""
        self.emit("smmu_faults", e, bdf=None, sid=None, iova=e.iova, line_end=e.line)

    def on_smmu_raw_event(self, e: Row) -> None:
        """Read the head of an event whose raw words follow, one per line."""
        self.head, self.words = e, []

    def on_smmu_raw_word(self, e: Row) -> None:
        """Read one raw word of the event before."""
        if self.head is None or self.head.unit != e.unit or not near(self.head, e, REACH):
            return
        self.words.append(e.word if e.low is None else (e.word & HALF) << 32 | int(e.low, 16))
        if len(self.words) == WORDS:
            if self.head.number in ADDRESSED:
                self.emit("smmu_faults", self.head, bdf=None, sid=self.words[0] >> 32, iova=self.words[2], line_end=e.line)
            self.head = None
