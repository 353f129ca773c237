"""Samples: the kernel's lines are read where they begin below the first thousand lines, which tell the envelopes of a source."""

from collections.abc import Callable

import polars as pl
import pytest

from tests.kernel_log import outcome
from tracekit.grammar.load import load
from tracekit.parsing import parse
from tracekit.parsing.envelopes import Layout
from tracekit.parsing.sample import LINES, completed
from tracekit.testing import findings, shape

RULES = load().envelopes
OTHERS = LINES + 200
FAULT = (
    "[    0.000000] Linux version 6.1.0 (builder@example) (gcc 12.2.0) #1 SMP",
    '[   20.445803] irq 26: nobody cared (try booting with the "irqpoll" option)',
    "[   20.446036] Disabling IRQ #26",
)


def syslog(text: str, tag: str = "kernel") -> str:
    return f"Nov  7 21:04:17 box {tag}: {text}"


FORMS: dict[str, tuple[str, Callable[[str], str]]] = {
    "syslog": (syslog("(root) CMD (true)", "CRON[1000]"), syslog),
    "syslog without stamps of the kernel": (syslog("(root) CMD (true)", "CRON[1000]"), lambda text: syslog(text.split("] ", 1)[1])),
    "journal": (
        "2026-11-29T10:00:05+0000 box sshd[1]: Accepted publickey for root",
        lambda text: f"2026-11-29T10:00:05+0000 box kernel: {text.split('] ', 1)[1]}",
    ),
    "console of a job": ("2026-05-01T10:00:00.1234567Z cc -O2 -c file.c", "2026-05-01T10:09:00.1234567Z {}".format),
    "build, then console": ("cc -O2 -c file.c", str),
    "container": ("box | making the root file system", "box | {}".format),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_machine_that_boots_below_other_programs(form: str) -> None:
    other, kernels = FORMS[form]
    text = "\n".join([*[other] * OTHERS, *map(kernels, FAULT), ""])
    (found,) = [f for f in findings(text) if f.code == "IRQ-006"]
    assert (found.grade, found.subject.label) == ("proven", "irq 26")
    assert [(e.line, e.role) for e in found.evidence] == [(OTHERS + 2, "cause"), (OTHERS + 3, "effect")]
    assert outcome("\n".join([*[other] * OTHERS, kernels(FAULT[0]), ""]), "IRQ-006") == "clear"


def test_a_kernel_that_speaks_in_a_later_part_of_a_large_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "CHUNK", 20_000)
    lines = [syslog("(root) CMD (true)", "CRON[1000]")] * OTHERS
    assert shape(findings("\n".join([*lines, *map(syslog, FAULT), *lines, ""]))) == [
        ("IRQ-006", "proven", "irq 26", None, [OTHERS + 2, OTHERS + 3])
    ]


@pytest.mark.parametrize("words", ["(root) CMD (logger kernel: x)", "no kernel: none of it", "took [   12.345678] s"])
def test_words_of_other_programs_are_no_log_of_the_kernel(words: str) -> None:
    lines = [syslog("(root) CMD (true)", "CRON[1000]")] * OTHERS + [syslog(words, "CRON[1000]")] * 9
    layout = Layout.settle(RULES, lines[:LINES])
    assert completed(layout, pl.DataFrame({"text": lines}), RULES) is layout
    assert outcome("\n".join([*lines, ""]), "IRQ-006") == "not evaluated"


def test_a_layout_that_has_the_kernels_lines_stays_as_it_is() -> None:
    dmesg = ["[    1.000000] usb 1-1: new high-speed USB device"]
    for first, later in (
        (dmesg, FORMS["syslog"][1](FAULT[0])),
        (["  nginx-1 [000] d.h. 1.000000: irq_handler_exit: irq=1 ret=handled"] * 9, *dmesg),
    ):
        layout = Layout.settle(RULES, first)
        assert completed(layout, pl.DataFrame({"text": [*first, later]}), RULES) is layout
