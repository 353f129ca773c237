"""Numbers that no machine has: a line that holds one costs its own row, and never a model or a diagnosis."""

import re
import resource
import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from tracekit import Options, analyze, in_table
from tracekit.grammar import load as grammar
from tracekit.run import Run
from tracekit.testing import run

pytestmark = [pytest.mark.no_cover, pytest.mark.xdist_group("numbers")]

HERE = Path(__file__).parent
LINES = [
    line
    for place in ("irq/test_irq_lines", "vfio/test_vfio_lines", "xen/test_xen_lines")
    for line in runpy.run_path(str(HERE / f"{place}.py"))["LINES"].values()
]
HEADS = ["[{:5d}.000000] ", "(XEN) ", "   task-1 [000] ..... {:5d}.000000: ", ""]


def absurd(line: str, decimal: str, hexadecimal: str) -> str:
    """The line with its numbers, those of addresses left out, as large as they can be written."""
    line = re.sub(r"0x[0-9a-f]+", f"0x{hexadecimal}", line)
    return re.sub(r"(?<![0-9a-zA-Z:.])[0-9]+(?![0-9a-zA-Z:.])", decimal, line)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    ("decimal", "hexadecimal"), [("9" * 18, "f" * 16), (str(2**64 - 1), "f" * 16), ("9" * 30, "f" * 20)], ids=["18", "64-bit", "30"]
)
def test_no_model_and_no_diagnosis_raises(head: str, decimal: str, hexadecimal: str) -> None:
    text = "".join(f"{head.format(i + 1)}{absurd(line, decimal, hexadecimal)}\n" for i, line in enumerate(LINES))
    assert run(text).errors == ()


# Instead of a number in a column: what does not fit, what no counter shows, digits that are no ASCII.
BAD = {"large": str(2**64 + 1), "negative": "-1", "arabic": "\u0661\u0662", "largest": str(2**63 - 1), "fullwidth": "\uff11\uff12"}
SAMPLES = HERE.parent.parent / "sample_traces"


@cache
def messages() -> dict[str, tuple[str, list[tuple[int, int, bool]]]]:
    """A message of each rule that has numbers: (text, the places of its numbers and whether each is hexadecimal)."""
    rules = {n: r for n, r in grammar.load().events.items() if set(r.columns.values()) & {pl.Int64(), pl.UInt64()} and not r.by_lark}
    texts = [
        *LINES,
        *dict.fromkeys(line for log in sorted(SAMPLES.rglob("*.[lt]*")) if log.suffix in (".log", ".txt") for line in lines(log)),
    ]
    found = {}
    for name, rule in rules.items():
        form = re.compile(r"(?<![^ \]:)>])" + rule.regex.removeprefix("^"))
        held = (t for t in texts if any(literal in t for literal in rule.literals) or not rule.literals)
        if (m := next(filter(None, map(form.search, held)), None)) is not None:
            groups = [
                (g, rule.columns[c]) for c, names in rule.groups.items() for g in names if rule.columns[c] in (pl.Int64(), pl.UInt64())
            ]
            begin = m.start()
            places = [
                (m.start(g) - begin, m.end(g) - begin, kind == pl.UInt64()) for g, kind in groups if m[g] and any(map(str.isdigit, m[g]))
            ]
            found[name] = (m[0], sorted(set(places), reverse=True))
    return {name: told for name, told in found.items() if told[1]}


def lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()


def with_number(text: str, place: tuple[int, int, bool], number: str) -> str:
    """The message with one of its numbers replaced."""
    begin, end, is_hex = place
    if is_hex and number.isascii() and not number.startswith("-"):
        number = ("0x" if text[begin:end].startswith("0x") else "") + f"{int(number):x}"
    return text[:begin] + number + text[end:]


@cache
def without_bad(head: str) -> tuple[str, Run]:
    """All messages as they are, and what they give."""
    text = "".join(f"{head.format(i + 1)}{text}\n" for i, (text, _) in enumerate(messages().values()))
    return text, run(text)


def test_most_rules_have_a_message_here() -> None:
    known = [r for r in grammar.load().events.values() if set(r.columns.values()) & {pl.Int64(), pl.UInt64()}]
    assert len(messages()) > 0.8 * len(known)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_number_in_any_column_costs_its_own_row(head: str, kind: str) -> None:
    """The good messages give the same rows with bad ones before and behind them."""
    good, whole = without_bad(head)
    bad = [with_number(text, place, BAD[kind]) for text, places in messages().values() for place in places]
    before, behind = ("".join(f"{head.format(i)}{text}\n" for text in bad) for i in (0, 9999))
    mixed = run(before + good + behind)
    assert mixed.errors == whole.errors == ()
    for name in grammar.load().events:
        if name in whole.tables:
            kept = mixed.tables[name].with_columns(pl.col("line") - len(bad)).filter(pl.col("line").is_between(1, len(messages())))
            assert kept.drop("source", "machine", "boot").equals(whole.tables[name].drop("source", "machine", "boot")), name


@pytest.mark.parametrize("number", [str(2**64), "\u0661\u0662"])
def test_a_number_that_fits_no_column_is_null_and_counted(number: str, tmp_path: Path) -> None:
    """Whoever asks for the table sees the row; models and diagnoses do not, since null may stand for any number to them."""
    line = "[    2.000000] irq 24: Affinity broken due to vector space exhaustion.\n"
    assert run(line).sources[0].notes == ()
    (tmp_path / "a.log").write_text(line.replace("24", number) + line + line.replace("24", number))
    found = analyze([str(tmp_path / "a.log")])
    assert found.sources[0].notes == ("line 1: a number that fits no column (null; 2 such lines)",)
    assert found.tables["irq_affinity_broken"]["line", "irq"].rows() == [(1, None), (2, 24), (3, None)]
    alone = analyze([str(tmp_path / "a.log")], Options(keep_tables=("*",)))
    assert alone.tables["irq_affinity_broken"]["line", "irq"].rows() == [(2, 24)]
    assert alone.sources[0].events["irq_affinity_broken"] == 1
    (tmp_path / "one.log").write_text(line)
    whole = analyze([str(tmp_path / "one.log")])
    assert [(f.code, f.grade) for f in found.findings] == [(f.code, f.grade) for f in whole.findings]


def asked(text: str, name: str, folder: Path) -> pl.DataFrame:
    """The table of that name, as who asks for it sees it."""
    (folder / "a.log").write_text(text)
    return analyze([str(folder / "a.log")]).tables[name]


def test_the_other_columns_of_a_row_are_kept(tmp_path: Path) -> None:
    line = "   qemu-1 [001] .....    16.779983: vector_alloc: irq={} vector={} reserved=1 ret=0\n"
    for together in (1, 400):
        text = line.format(24, 33) * together + line.format(2**70, 34) + line.format(25, 2**64)
        table = asked(text, "vector_alloc", tmp_path).tail(2)
        assert table["irq", "vector", "reserved", "ret"].rows() == [(None, 34, 1, 0), (25, None, 1, 0)]


def test_a_hexadecimal_number_that_fits_no_column(tmp_path: Path) -> None:
    line = "vfio_msi_interrupt  (0000:00:04.0) vector 3 0x{}/0x21\n"
    found = asked(line.format("f" * 17) + line.format("fee01004"), "vfio_msi_interrupt", tmp_path)
    assert found["vector", "address", "data"].rows() == [(3, None, 0x21), (3, 0xFEE01004, 0x21)]


def test_a_function_below_a_large_segment_is_one() -> None:
    """VMD's domains begin at 10000."""
    text = (
        "[    2.000000] DMAR: DRHD: handling fault status reg 2\n"
        "[    3.000000] DMAR: [INTR-REMAP] Request device [10000:e1:00.0] fault index 0x3000 [fault reason 0x22] Present field in the IRTE entry is clear\n"
    )
    assert [f.subject.bdf for f in run(text).findings if f.grade] == ["10000:e1:00.0"]


@pytest.mark.parametrize(
    "line",
    [
        "\u0662\u0660\u0662\u0666-03-01T10:00:00 host kernel: irq 24: Affinity broken due to vector space exhaustion.",
        "<6>\u0662\u0660\u0662\u0666-03-01T10:00:00.000000+00:00 host kernel: vfio-pci 0000:01:00.0: enabling device",
        "Mar \u0661\u0661 10:00:00 host kernel: DMAR: DRHD: handling fault status reg 2",
        "[    \u0661.000000] irq 24: Affinity broken due to vector space exhaustion.",
        "\u0666,339,5140900,-;irq 24: Affinity broken due to vector space exhaustion.",
        '{"__REALTIME_TIMESTAMP": "\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669\u0660", "MESSAGE": "irq 24: x"}',
        "   qemu-\u0661 [001] .....    16.779983: vector_alloc: irq=\u0661 vector=33 reserved=1 ret=0",
    ],
)
def test_digits_of_other_scripts_are_no_numbers_of_an_envelope(line: str) -> None:
    whole = "[    2.000000] irq 24: Affinity broken due to vector space exhaustion."
    for text in (f"{line}\n", f"{line}\n{whole}\n", f"{line}\n" * 30 + whole):
        assert run(text).errors == ()


COUNTS = re.compile(r"\b((?:count|start|nvec|size|table|min|max|minvec|maxvec|index|hwsize|ret|arg\d)=)(?!0x)\d{1,4}\b")
COUNTED = sorted(
    log
    for log in SAMPLES.glob("*/*/*.txt")
    if log.stat().st_size < 30_000 and COUNTS.search(log.read_text(encoding="utf-8", errors="replace"))
)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Let the process take 1.5 GB more than it has."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    taken = int(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData:"))) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (taken + (3 << 29), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("log", COUNTED, ids=lambda log: "/".join(log.parts[-3:]))
def test_a_count_that_no_table_has_costs_no_memory(log: Path) -> None:
    text = log.read_text(encoding="utf-8", errors="replace")
    assert run(COUNTS.sub(r"\g<1>2000000000", text)).errors == ()


@pytest.mark.parametrize(("begin", "end", "vectors"), [(0, 2048, 2048), (3, 5, 2), (0, 2049, 0), (0, 2**64, 0), (-1, 4, 0), (5, 3, 0)])
def test_a_range_of_vectors_lies_in_a_table(begin: int, end: int, vectors: int) -> None:
    assert len(in_table(begin, end)) == vectors
