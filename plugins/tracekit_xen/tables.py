"""The tables of this family: pirqs."""

import polars as pl

from tracekit import Column, Table

_INT, _TEXT, _FLAG = pl.Int64(), pl.String(), pl.Boolean()

PIRQ_LIVES = Table(
    "pirq_lives",
    "One use of a pirq, placed at the first line that shows it.",
    (
        Column("pirq", _INT),
        Column("irq", _INT, "The Linux irq that it serves; null where unknown."),
        Column("bdf", _TEXT),
        Column("device", pl.UInt64()),
        Column("basis", _TEXT, "Origin: guest (dynamic debug of an HVM guest), debug (a reporter's prints), calls (dom0), device-model."),
        Column(
            "end",
            _TEXT,
            "What ended it: closed (event channel), destroyed (irq), unmapped, `irq again` (the irq serves another pirq), `enabled anew` "
            "(its device takes new numbers), `handed out again`, `lost sight` (the log has a hole); empty while it lasts.",
        ),
        Column("began", _FLAG, "Whether the recording shows where the use began."),
        Column("given", _FLAG, "Whether Xen allocated the number where the use began."),
        Column("reused", _FLAG, "Whether the guest reused the pirq in the device's MSI message."),
    ),
    keys=("source", "line", "pirq", "irq", "basis"),
)

PIRQ_FACTS = Table(
    "pirq_facts",
    "A fact about the pirq space of a domain.",
    (
        Column(
            "fact",
            _TEXT,
            "extra (MSI pirqs by extra_guest_irqs=), limit (pirqs in all), gsis (the lowest MSI pirq), bounded (a limit that was cut), "
            "held (debug key i), ports (debug key e, lsevtchn).",
        ),
        Column("domid", _INT, "The domain; null for any domU."),
        Column("value", _INT, "The number that the fact gives; for held and ports, the count of pirqs."),
        Column("pirqs", pl.List(pl.Int64()), "The pirqs of held and ports."),
    ),
    keys=("source", "line", "fact", "domid"),
)
