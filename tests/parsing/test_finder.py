"""The lines of large logs that matter: two engines find the same ones, and none that a rule reads or that complains is lost."""

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tracekit import home, speed
from tracekit.parsing import capture as capturing
from tracekit.parsing import parse as parsing
from tracekit.parsing.capture import Vocabulary, capture
from tracekit.parsing.complaint import complaints
from tracekit.parsing.finder import Finder
from tracekit.pipeline import Engine
from tracekit.reading.source import discover

SAMPLES = Path(__file__).parents[2] / "sample_traces"
UNAME = re.compile("Linux (?!version )")  # what `uname -a` prints is sought in small sources alone: no text of it is fixed
LITTLE = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Engine.load(["*"]).vocabulary


@pytest.fixture(params=["expression", "hyperscan"])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "hyperscan":
        pytest.importorskip("hyperscan")
    return str(request.param)


def found(finder: Finder, lines: list[str], engine: str) -> list[str]:
    series = pl.Series("line", lines, dtype=pl.String)
    data = "".join(f"{line}\n" for line in lines).encode() if engine == "hyperscan" else b""
    if data:
        assert finder._scanned(series, data) is not None
    return series.filter(finder.find(series, data)).to_list()


def sample_lines() -> Iterator[str]:
    for path in sorted(p for p in SAMPLES.rglob("*") if p.is_file() and p.suffix not in (".toml", ".dat", ".gz", ".zst", ".tar", ".md")):
        yield from path.read_bytes().decode(errors="replace").replace("\r", "").split("\n")


def test_no_line_of_the_samples_is_lost(vocabulary: Vocabulary, engine: str) -> None:
    lines = sorted({line for line in sample_lines() if len(line) < 500})
    kept = set(found(vocabulary.finder, lines, engine))
    assert kept == set(found(vocabulary.finder, lines, "expression"))
    blank = {n: pl.Series([v] * len(lines), dtype=t) for n, t, v in _envelope()}
    read = capture(pl.DataFrame({"msg": lines} | blank), vocabulary).rows
    small = {r.name for r in vocabulary.rules.values() if r.marks.sought_in == "small-sources"}
    lost = {lines[row] for name, rows in read.items() if name not in small for row in rows} - kept
    assert [line for line in sorted(lost) if not UNAME.match(line)] == []
    text = re.compile("|".join(map(re.escape, (*vocabulary.finder.sure, *vocabulary.finder.unsure))))
    series = pl.Series("line", lines)
    assert {line for line in series.filter(complaints(series)) if text.search(line)} <= kept


def _envelope() -> Iterator[tuple[str, pl.DataType, object]]:
    yield from ((n, t, 0 if n in ("line", "boot") else None) for n, t in capturing.ENVELOPE.items())


WORDS = (
    *(
        "irq",
        "IRQ",
        "nterrupt",
        "request_irq",
        "omplet",
        "polled",
        "will poll",
        "poll for it",
        "ecovered",
        "lost",
        "issed",
        "not ",
        "never ",
    ),
    *("failed", "ERROR", "err=-22", "can’t", "can't", "cannot", "Could not", "timed out", "out of", "too many", "bad", "e", "terr", "o"),
    *("msi", "its", "dma", " ", "-", ":", "_", "vfio-pci ", "xen:events: ", ": event ", " received:", "ſ", "K", "µ", "A"),
)


@LITTLE
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=7).map("".join), min_size=1, max_size=12))
@example(["irq", "err=-22its"])
def test_both_engines_find_the_same_of_what_words_make(lines: list[str]) -> None:
    pytest.importorskip("hyperscan")
    finder = _finder()
    assert found(finder, lines, "hyperscan") == found(finder, lines, "expression")


_LOADED: list[Finder] = []


def _finder() -> Finder:
    if not _LOADED:
        _LOADED.append(Engine.load().vocabulary.finder)
    return _LOADED[0]


@pytest.mark.parametrize("name", ["driver_irq_complaint", "driver_silence", "smmu_raw_event"])
def test_every_match_holds_the_texts_of_its_marks(vocabulary: Vocabulary, name: str) -> None:
    rule = vocabulary.rules[name]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.from_regex(rule.regex, fullmatch=True))
    def held(text: str) -> None:
        assert any(t in text for t in rule.marks.found_by)
        assert not rule.marks.found_with or any(t in text for t in rule.marks.found_with)

    held()


def test_common_words_alone_find_no_line(vocabulary: Vocabulary, engine: str) -> None:
    lines = [
        "[    5.000001] perf: interrupt took too long (2501 > 2500), lowering kernel.perf_event_max_sample_rate to 79000",
        "[    5.000002] pcieport 0000:00:01.0: AER: Corrected error received: 0000:01:00.0",
        "[    5.000003] acme 0000:01:00.0: interrupt was never received",
        "[    5.000004] acme 0000:01:00.0: request_irq failed",
        "[    5.000005] arm-smmu-v3 2b400000.iommu: event 0x10 received:",
        "[    5.000006] acme: bad interrupt remapping",
    ]
    assert found(vocabulary.finder, lines, engine) == lines[2:]


def test_the_first_line_and_one_without_an_end_count(vocabulary: Vocabulary) -> None:
    pytest.importorskip("hyperscan")
    lines = pl.Series(["bad irq of vfio", "usb 1-1: new device", "vfio-pci 0000:01:00.0: enabling device (0000 -> 0002)"])
    for data in ("\n".join(lines), "\n".join(lines) + "\n"):
        assert vocabulary.finder.find(lines, data.encode()).to_list() == [True, False, True]


def test_bytes_that_are_not_the_lines_are_left_to_the_expression(vocabulary: Vocabulary) -> None:
    lines = pl.Series(["vfio-pci 0000:01:00.0: enabling device (0000 -> 0002)", "usb 1-1: new device"])
    assert vocabulary.finder.find(lines, "\r\n".join([*lines, ""]).encode()).to_list() == [True, False]


@pytest.mark.parametrize("parts", [1, 9], ids=["one-chunk", "chunks"])
@pytest.mark.parametrize("broken", [b"", b"bytes that are no text: \xff\xfe\n"], ids=["text", "broken"])
@pytest.mark.parametrize("enough", [1, 10_000, 10_000_000])
def test_a_large_log_gives_the_same_with_both(
    parts: int, broken: bytes, enough: int, vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of several chunks are read in one go by hyperscan's way; a chunk with broken bytes goes the other way, in its place."""
    pytest.importorskip("hyperscan")
    monkeypatch.setattr(parsing, "SMALL_SOURCE", 50)
    monkeypatch.setattr(parsing, "_ENOUGH", enough)
    monkeypatch.setattr(parsing, "_step", lambda source: source.length // parts + 1)
    logs = [p for p in SAMPLES.rglob("*dmesg*") if p.is_file() and p.stat().st_size < 200_000]
    log = tmp_path / "dmesg.log"
    texts = [p.read_bytes().rstrip(b"\n") + b"\n" for p in sorted(logs)[:60]]
    log.write_bytes(b"\n".join([*texts[:30], broken, *texts[30:]]).replace(b"\r", b""))

    def parsed(chunks: int) -> parsing.Parsed:
        monkeypatch.setattr(parsing, "_FEW_CHUNKS", chunks)
        (source,), _ = discover([str(log)])
        return parsing.parse(source, vocabulary)

    scans: list[int] = []
    scanned = Finder._scanned
    monkeypatch.setattr("tracekit.parsing.finder._FEW", 2.0)
    monkeypatch.setattr(Finder, "_scanned", lambda self, lines, data: scans.append(len(data)) or scanned(self, lines, data))
    one, other = parsed(1_000), parsed(0)
    assert bool(scans) == (parts > 1 or not broken)
    assert one.classes["frame"] >= 60
    assert (one.classes, one.events, one.envelopes, one.not_understood) == (
        other.classes,
        other.events,
        other.envelopes,
        other.not_understood,
    )
    assert one.tables.keys() == other.tables.keys()
    assert all(one.tables[n].equals(other.tables[n]) for n in one.tables)


def test_what_hyperscan_made_is_kept_and_made_again_where_it_cannot_be_taken(
    vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hyperscan")
    monkeypatch.setattr(home, "cache", lambda: tmp_path)
    lines = ["vfio-pci 0000:01:00.0: enabling device (0000 -> 0002)", "usb 1-1: new device"]
    rules = [r for r in vocabulary.rules.values() if r.texts and not r.marks.sought_in]

    def looked() -> list[str]:
        return found(Finder(rules), lines, "hyperscan")

    assert looked() == lines[:1]
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (whole[:-1], b"", whole[:16]):
        file.write_bytes(damaged)
        assert looked() == lines[:1]
        assert file.read_bytes() == whole
    speed._write(file, b"of another processor")  # whole, and nothing that hyperscan takes
    assert looked() == lines[:1]
    file.write_bytes(whole)
    monkeypatch.setattr("hyperscan.Database", None)
    assert looked() == lines[:1]
