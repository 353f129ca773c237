"""Which kinds of noise a log may have is told by characters: each kind names those that every match of its sign holds."""

import re._constants as sre  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]

import pytest

from tracekit.parsing import noise
from tracekit.testing import findings

STAMPED = "[ 4711.123456] nvme nvme3: I/O 12 QID 7 timeout, completion polled"
NOISY = (  # one line, or a few, for each kind
    f"{STAMPED}\r",
    f"boot: \r{STAMPED}",
    "\n".join([f"{STAMPED}    "] * 4),
    f"\x1b[1m{STAMPED}\x1b[0m",
    f"\0{STAMPED}",
    f"x\b{STAMPED}",
    "[2025-01-09 06:52:59] entry 0[2025-01-09 06:52:59] x0)",
    STAMPED.replace(" nvme", "\u00a0nvme"),
    f"{STAMPED} can\u2019t",
    f"{STAMPED} \u201cirqpoll\u201d",
    f"{STAMPED}\u2026",
    f"{STAMPED} error \u201328",
    f"\ufeff{STAMPED}",
    f"&lt;6&gt;{STAMPED}",
    f"{STAMPED} &gt;",
    f"{STAMPED} &quot;",
    f"{STAMPED} &apos;",
    f"{STAMPED}&nbsp;",
    f"{STAMPED} &amp;",
    f"#033[1m{STAMPED}",
    f"{STAMPED}#011x",
    f"^[[1m{STAMPED}",
    f"[32m{STAMPED}",
    f"\\x1b[1m{STAMPED}",
    STAMPED.replace("[", "\\[").replace("]", "\\]"),
    f"{STAMPED} nvme\\_core",
    f"<pre>{STAMPED}</pre>",
    f"[code]{STAMPED}[/code]",
    f"{{code:title=dmesg}}{STAMPED}",
    f"```{STAMPED}",
    f"{STAMPED} \\",
    *(f"msg={mark}{STAMPED}{mark},node=a" for mark in "\"'`"),
    *(f"- {mark}(XEN) text{mark}," for mark in "`\"'"),
    f"**{STAMPED}**",
    f"/var/log/kern.log:{STAMPED}",
    f"kern.log.1:1042:{STAMPED}",
    f"  17\t{STAMPED}",
    f'"{STAMPED} \\"x\\""',
    f"| 1 | {STAMPED} |",
    f"{STAMPED} |\n",
    f"* {STAMPED}",
    f"\t\tnvme nvme3\n\n\t\t{STAMPED}",
    f"  {STAMPED}",
    f"\t{STAMPED}",
)
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


def test_sources_settled_together_have_the_noise_that_each_has_alone() -> None:
    around = [(head, tail) for head in ("", "> ") for tail in ("", " &")]
    noisy = [[f"{head}{line}{tail}" for line in text.split("\n")] for text in NOISY for head, tail in around]
    samples = [["", STAMPED], [], [""], *noisy]
    alone = list(map(noise.settle, samples))
    assert {kind for kinds, _ in alone for kind in kinds} == set(range(len(noise._KINDS)))
    assert noise.settle_together(samples) == alone


def test_colours_whose_escapes_were_left_out_come_off_where_a_stamp_has_one() -> None:
    _, lines = noise.settle(["[32m[   20.445803] [0m[33mirq 26: [0mnobody cared", "[32m[   20.446036] [0mDisabling IRQ #26"])
    assert lines == ["[   20.445803] irq 26: nobody cared", "[   20.446036] Disabling IRQ #26"]
    plain = ["[   20.445803] acme: reg[0m] is [33m wide", "[3m: a length"]
    assert noise.settle(plain)[1] == plain
