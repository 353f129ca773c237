"""Absence is evidence only where presence would have been recorded: the engine asks for that, no diagnosis does."""

from collections.abc import Iterator

import polars as pl
import pytest

from tracekit import Finding, Shown, Verdict, diagnosis, inconclusive
from tracekit.diagnosing.diagnoses import blind_spot, judge
from tracekit.diagnosing.places import Places
from tracekit.findings import Outcome
from tracekit.testing import outcome, run


def rows(source: str = "a.log", **columns: list[object]) -> pl.DataFrame:
    n = len(next(iter(columns.values()), [1]))
    return pl.DataFrame({"source": [source] * n, "line": list(range(1, n + 1)), "machine": [""] * n, "boot": [0] * n, **columns})


def lost(source: str, cpu: int | None = 1) -> pl.DataFrame:
    return rows(source, count=[3], cpu=[cpu])


@diagnosis(
    "test.refused",
    code="REFUSED-1",
    severity="low",
    record="record calls",
    shown_by=(Shown("asked", "call", ("ret",), of=pl.col("index") == 2), "banner"),
    absent="no call in the input",
)
def refused(complaint: pl.DataFrame | None = None) -> Iterator[Finding | Verdict]:
    """Look for a complaint; the calls show that there was something to complain of."""
    if complaint is not None:
        yield Finding("refused", "proven", ())


def judged(**tables: pl.DataFrame) -> tuple[str, str, str]:
    o = judge(refused, Places(tables, {"loss": ("gap",)}))[1]
    return o.outcome, o.reason, o.record


def test_nothing_found_without_a_table_that_would_show_it_is_not_evaluated() -> None:
    assert judged() == ("not evaluated", "no call in the input", "record calls")
    assert judged(other=rows()) == ("not evaluated", "no call in the input", "record calls")


def test_nothing_found_in_a_table_that_would_show_it_is_clear() -> None:
    assert judged(asked=rows(index=[2], ret=[0]))[0] == "clear"
    assert judged(banner=rows())[0] == "clear"


def test_a_finding_needs_no_table_that_would_show_its_absence() -> None:
    assert judged(complaint=rows())[0] == "found"


def test_a_row_without_the_column_that_would_show_it_leaves_it_open() -> None:
    told = judged(asked=rows(index=[2, 2], ret=[0, None]))
    why = "one call has no return value in the recording (line 2 of a.log): what is not recorded may be the fault"
    assert told == ("inconclusive", why, "record calls")


def test_rows_that_cannot_be_the_fault_are_not_asked_for_it() -> None:
    assert judged(asked=rows(index=[2, 1], ret=[0, None]))[0] == "clear"


def test_events_that_were_lost_in_the_source_leave_it_open() -> None:
    told = judged(asked=rows(index=[2], ret=[0]), gap=lost("a.log"))
    assert told[:2] == ("inconclusive", "3 events lost in the recording (line 1 of a.log): what is not recorded may be the fault")
    assert "buffer_size_kb" in told[2]


def test_messages_that_the_kernel_log_lost_leave_it_open_too() -> None:
    told = judged(asked=rows(index=[2], ret=[0]), gap=lost("a.log", cpu=None))
    assert told[:2] == ("inconclusive", "3 messages lost in the log (line 1 of a.log): what is not recorded may be the fault")
    assert ("log_buf_len" in told[2], "buffer_size_kb" in told[2]) == (True, False)


def test_events_that_another_source_lost_do_not() -> None:
    assert judged(asked=rows(index=[2], ret=[0]), gap=lost("b.log"))[0] == "clear"


def test_tables_that_a_diagnosis_only_names_to_show_absence_are_asked_for_and_not_handed_to_it() -> None:
    assert (refused.wants, refused.takes) == (("complaint", "asked", "banner"), ("complaint",))


def test_without_a_declaration_the_tables_that_it_needs_show_it() -> None:
    @diagnosis("test.needs", code="NEEDS-1", severity="low", needs_any=("b", "c"))
    def needs(a: pl.DataFrame, b: pl.DataFrame | None = None) -> Iterator[Finding]:
        """Look at a."""
        yield from ()

    assert judge(needs, Places({"a": rows(), "c": rows()}))[1].outcome == "clear"
    assert judge(needs, Places({"a": rows(), "c": rows(), "gap": lost("a.log")}, {"loss": ("gap",)}))[1].outcome == "inconclusive"
    assert judge(needs, Places({"a": rows()}))[1].reason == "no lines of b, c in the input"


def test_what_a_diagnosis_itself_leaves_open_stays_open() -> None:
    @diagnosis("test.opens", code="OPENS-1", severity="low", shown_by=("a",))
    def opens(b: pl.DataFrame | None = None) -> Iterator[Verdict]:
        """Never decide."""
        yield inconclusive("no line decides")

    assert judge(opens, Places({"b": rows()}))[1].reason == "no line decides"


def test_questions_with_one_reason_are_one_question() -> None:
    lost = ("inconclusive", "events were lost", "a larger buffer")
    spot = blind_spot([], [Outcome("a.a", "A-1", *lost), Outcome("b.b", "B-1", *lost), Outcome("c.c", "C-1", "clear")])  # type: ignore[arg-type]
    assert spot is not None
    assert [(u.guard, u.would_settle) for u in spot.unchecked] == [("A-1, B-1: events were lost", "a larger buffer")]


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("[    0.000000] Linux version 6.1.0 (x@y) #1 SMP\n", "no such line in the kernel log"),
        ("", "no such line in the kernel log, which does not begin with the boot"),
    ],
)
def test_a_kernel_log_that_begins_late_says_so(log: str, reason: str) -> None:
    told = outcome(run(log + "[   99.000000] usb 1-1: new high-speed USB device number 2 using xhci_hcd\n"), "VEC-004")
    assert (told.outcome, told.reason) == ("clear", reason)


def test_rows_that_could_not_show_the_fault_are_as_good_as_none() -> None:
    @diagnosis(
        "test.where", code="WHERE-1", severity="low", shown_by=(Shown("a", where=pl.col("index") == 2),), absent="nothing of index 2"
    )
    def where(a: pl.DataFrame) -> Iterator[Finding]:
        """Look at a."""
        yield from ()

    assert judge(where, Places({"a": rows(index=[1, 3])}))[1].reason == "nothing of index 2"
    assert judge(where, Places({"a": rows(index=[1, 2])}))[1].outcome == "clear"
