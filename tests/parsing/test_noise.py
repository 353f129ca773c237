"""Which kinds of noise a log may have is told by characters: each kind names those that every match of its sign holds."""

import re._constants as sre  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]

import pytest

from tracekit.parsing import noise
from tracekit.testing import findings

BLANK = {"\n", " "}  # in every log


@pytest.mark.parametrize("kind", noise._KINDS, ids=lambda kind: str(noise._KINDS.index(kind)))
def test_every_match_of_a_sign_holds_its_characters(kind: tuple[str, str, str, str]) -> None:
    marks, sign, *_ = kind
    assert set(marks) == {chr(code) for what, code in parser.parse(sign) if what is sre.LITERAL} - BLANK


PLAIN = [f"[    {n}.000000] usb 1-{n}: reset" for n in range(8)]


@pytest.mark.parametrize(("padded", "off"), [(2, False), (3, True), (8, True)])
def test_blanks_of_a_terminal_in_a_part_of_a_log_come_off(padded: int, off: bool) -> None:
    lines = [f"{line}   " if n < padded else line for n, line in enumerate(PLAIN)]
    assert noise.settle(lines)[1] == (PLAIN if off else lines)
    for kept in ([f"{line} " for line in PLAIN], [f"#  {line}    " for line in PLAIN]):  # a kernel's own blank, the head of a trace
        assert noise.settle(kept) == ((), kept)


def test_a_handler_behind_blanks_is_read() -> None:
    report = ["irq 16: nobody cared", "handlers:", "[<00000000a1b2c3d4>] foo_isr", "Disabling IRQ #16"]
    lines = [*PLAIN, *(f"[   20.00000{n}] {message}{' ' * 40}" for n, message in enumerate(report))]
    (found,) = findings("\n".join(lines) + "\n")
    assert "(asked: foo_isr)" in found.summary


def test_colours_whose_escapes_were_left_out_come_off_where_a_stamp_has_one() -> None:
    _, lines = noise.settle(["[32m[   20.445803] [0m[33mirq 26: [0mnobody cared", "[32m[   20.446036] [0mDisabling IRQ #26"])
    assert lines == ["[   20.445803] irq 26: nobody cared", "[   20.446036] Disabling IRQ #26"]
    plain = ["[   20.445803] acme: reg[0m] is [33m wide", "[3m: a length"]
    assert noise.settle(plain)[1] == plain
