"""ACME-001: a doorbell without an answer."""

from collections.abc import Iterator

import polars as pl

from tracekit import Evidence, Finding, Unchecked, Verdict, diagnosis, lost_between, subject_of


@diagnosis("acme.unanswered", code="ACME-001", severity="high", record="echo 1 > /sys/module/acme/parameters/debug; dmesg")
def unanswered(acme_doorbells: pl.DataFrame, gap: pl.DataFrame | None = None) -> Iterator[Finding | Verdict]:
    """The last doorbell of a function got no interrupt.

    What it finds: a doorbell after which the log shows no interrupt of the function (probable: it may come after the log's end).
    Why it matters: the queue stands still until the next doorbell.
    Stays quiet when: an interrupt came, or the log lost lines after the doorbell.
    Affected: every release of acme_main.c.
    What to do: read the cause register of the function.
    References: acme_main.c, acme_ring().
    """
    for row in acme_doorbells.filter(~pl.col("answered")).iter_rows(named=True):
        if not lost_between(gap, row["source"], row["line"], 2**62):
            yield Finding(
                f"the doorbell of queue {row['queue']} got no interrupt",
                "probable",
                (Evidence(row["source"], row["line"], "cause"),),
                subject_of(row),
                advice="Read the cause register.",
                unchecked=(Unchecked("whether the interrupt came later", "a longer log"),),
                values={"queue": row["queue"]},
            )
