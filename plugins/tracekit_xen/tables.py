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
        Column(
            "basis", _TEXT, "Who tells: guest (dynamic debug of an HVM guest), debug (a reporter's prints), calls (dom0), device-model."
        ),
        Column(
            "end",
            _TEXT,
            "What ended it: closed (event channel), destroyed (irq), unmapped, `irq again` (the irq serves another pirq), `enabled anew` "
            "(its device takes new numbers), `handed out again`, `lost sight` (the log has a hole); empty while it lasts.",
        ),
        Column("began", _FLAG, "Whether its begin was seen."),
        Column("given", _FLAG, "Whether Xen handed the number out at its begin."),
        Column("reused", _FLAG, "Whether the guest took the number that it had cached."),
    ),
    keys=("source", "line", "pirq", "irq", "basis"),
)

PIRQ_FACTS = Table(
    "pirq_facts",
    "A fact on the pirq space of a domain.",
    (
        Column(
            "fact",
            _TEXT,
            "extra (MSI pirqs by extra_guest_irqs=), limit (pirqs in all), gsis (the lowest MSI pirq), bounded (a limit that was cut), "
            "held (debug key i), ports (debug key e, lsevtchn).",
        ),
        Column("domid", _INT, "The domain; null for any domU."),
        Column("value", _INT, "The number; of held and ports how many pirqs."),
        Column("pirqs", pl.List(pl.Int64()), "The pirqs of held and ports."),
    ),
    keys=("source", "line", "fact", "domid"),
)
