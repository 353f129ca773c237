"""Recordings that stand in several files: which files are one recording, and the lines of one in their order."""

import io
import tarfile
from pathlib import Path

import polars as pl
import pytest

from tracekit.evidence import placed
from tracekit.pipeline import Options, analyze
from tracekit.reading import recordings
from tracekit.reading.source import Source, discover

HEAD = "# tracer: nop\n#\n"


def line(cpu: int, ms: int, text: str = "r_x: (a+0x1/0x2 <- b) ret=0") -> str:
    return f"       qemu-kvm-342     [{cpu:03}] d..1.     5.{ms:03}000: {text}\n"


def calls(cpu: int, ms: int, text: str = "") -> str:
    return f" {cpu})   2.000 us    |  msi_{text or ms}();\n"


WHOLE = [line(i % 2, 10 * i) + (" => a_caller\n" if i == 4 else "") for i in range(10)]
ONE_AFTER_THE_OTHER = "".join(WHOLE).encode()


def written(folder: Path, files: dict[str, str]) -> list[str]:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return [str(folder)]


def texts(source: Source, size: int = 1 << 20) -> str:
    return b"".join(chunk.data for chunk in source.chunks(size)).decode()


@pytest.mark.parametrize("name", ["per_cpu/cpu{}/trace", "trace-cpu{}.txt", "cpu{}", "report.cpu{}.log"])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_files_of_cpus_are_one_recording_in_the_order_of_stamps(tmp_path, name, size):
    files = {name.format(cpu): "".join(WHOLE[cpu::2]) for cpu in (0, 1)} | {name.format(2): HEAD}
    (joined,), errors = discover(written(tmp_path, files))
    assert not errors and texts(joined, size) == HEAD + "".join(WHOLE)
    assert [joined.place(n) for n in (3, 4, 8)] == [
        (f"{tmp_path}/{name.format(0)}", 1),
        (f"{tmp_path}/{name.format(1)}", 1),
        (f"{tmp_path}/{name.format(0)}", 4),  # the line below a stamped one stays there
    ]
    assert joined.text_of([4, 8]) == {4: WHOLE[1].rstrip("\n"), 8: " => a_caller"}


@pytest.mark.parametrize(
    "files",
    [
        {"cpu0.txt": WHOLE[0], "cpu1.txt": WHOLE[2]},  # lines of another CPU than the name says
        {"trace-3.txt": WHOLE[0] + WHOLE[2], "trace-4.txt": WHOLE[1] + WHOLE[3]},  # no name of a CPU: of two machines
        {"cpu0.txt": calls(0, 1), "cpu1.txt": calls(1, 2)},  # no stamps
        {"trace-1.txt": "".join(WHOLE[:5]), "trace-2.txt": line(1, 950) + line(0, 951)},  # another recording, later
        {"trace-1.txt": "".join(WHOLE[:5]), "trace-2.txt": "".join(WHOLE[2:])},  # the same ring, read twice
        {"trace-1.txt": "".join(WHOLE[:5]), "trace-2.txt": line(0, 39) + line(1, 40)},  # at the end of the first, and as long as that lasts
        {"trace-1.txt": "".join(WHOLE[:5]), "other-2.txt": "".join(WHOLE[5:])},
        {"trace.1": "".join(WHOLE[2:]), "trace.2": "".join(WHOLE[:5]), "trace": "".join(WHOLE)},
        {"trace-1.txt": "".join(WHOLE[:5]), "trace-2.txt": "  5.050000 |   1)   2.000 us    |  msi_domain_alloc();\n"},
        {"trace-a.txt": calls(0, 1), "trace-b.txt": calls(0, 2)},  # two pieces of a graph, of which nothing tells the order
        {"trace-a.txt": HEAD + calls(0, 1), "trace-b.txt": HEAD + calls(0, 2)},
    ],
)
def test_what_may_be_two_recordings_stays_two(tmp_path, files):
    assert len(discover(written(tmp_path, files))[0]) == len(files)


@pytest.mark.parametrize(
    "names",
    [("trace.1", "trace.2"), ("trace.2", "trace.1"), ("trace_pipe-a.txt", "trace_pipe-b.txt"), ("t", "t_2"), ("t.part1", "t.part2")],
)
def test_files_in_sequence_are_one_recording_in_the_order_of_stamps(tmp_path, names):
    (joined,), _ = discover(written(tmp_path, dict(zip(names, (HEAD + "".join(WHOLE[:5]), "".join(WHOLE[5:])), strict=True))))
    assert texts(joined) == HEAD + "".join(WHOLE)
    assert joined.place(8) == (f"{tmp_path}/{names[0]}", 8) and joined.place(9) == (f"{tmp_path}/{names[1]}", 1)


def test_a_graph_without_stamps_goes_on_below_its_head(tmp_path):
    for names in (("trace.01", "trace.02", "trace.10"), ("trace.2", "trace.1", "trace")):
        folder = tmp_path / names[0]
        parts = dict(zip(names, (HEAD + calls(0, 1), calls(0, 2), calls(1, 3)), strict=True))
        (joined,), _ = discover(written(folder, parts))
        assert texts(joined) == HEAD + calls(0, 1) + calls(0, 2) + calls(1, 3)


@pytest.mark.parametrize("at", range(len(WHOLE[0]), len(ONE_AFTER_THE_OTHER) - 2 * len(WHOLE[0]), 29))
def test_a_line_that_was_cut_is_one_line_again(tmp_path, at):
    for name, piece in (("xaa", ONE_AFTER_THE_OTHER[:at]), ("xab", ONE_AFTER_THE_OTHER[at:])):
        (tmp_path / name).write_bytes(piece)
    (joined,), _ = discover([str(tmp_path)])
    whole = ONE_AFTER_THE_OTHER.decode()
    assert texts(joined).replace("\n", "") == whole.replace("\n", "")
    if texts(joined) == whole:
        lines = whole.removesuffix("\n").split("\n")
        assert joined.text_of(range(1, len(lines) + 1)) == dict(enumerate(lines, 1))


def test_parts_in_an_archive_are_joined_by_what_their_heads_tell(tmp_path):
    with tarfile.open(tmp_path / "case.tar.gz", "w:gz") as tar:
        for name, text in (
            ("per_cpu/cpu0/trace", WHOLE[0::2]),
            ("per_cpu/cpu1/trace", WHOLE[1::2]),
            ("t.1", WHOLE[:5]),
            ("t.2", WHOLE[5:]),
        ):
            data = "".join(text).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    sources, _ = discover([str(tmp_path / "case.tar.gz")])
    assert [texts(s) for s in sources] == ["".join(WHOLE)] * 2


def test_the_file_of_one_cpu_alone_says_that_the_others_are_not_recorded(tmp_path):
    told = "holds the events of CPU 1 alone: what the others did is not recorded"
    for name, text, losses in (("cpu1/trace", WHOLE[1::2], [told]), ("cpu0/trace", WHOLE[1::2], []), ("trace", WHOLE[1::2], [])):
        folder = tmp_path / name.replace("/", "-")
        (source,), _ = discover(written(folder, {name: "".join(text)}))
        assert source.losses() == losses
    (source,), _ = discover(written(tmp_path / "both", {"cpu0": "".join(WHOLE[0::2]), "cpu1": "".join(WHOLE[1::2])}))
    assert source.losses() == []


def test_a_call_that_begins_in_one_file_and_ends_in_the_other_is_one_call(tmp_path):
    entry = line(0, 1, "p_x: (pci_alloc_irq_vectors_affinity+0x0/0x100) dev=0xffff888001")
    returned = line(1, 2, "r_x: (vfio_msi_enable+0x5/0x10 <- pci_alloc_irq_vectors_affinity) ret=0x4")
    written(tmp_path, {"cpu0/trace": entry, "cpu1/trace": returned})
    run = analyze([str(tmp_path)], Options(keep_tables=("calls", "probe_return")))
    assert run.sources[0].notes == ("read as one log: cpu0/trace, cpu1/trace",)
    assert run.tables["calls"].select("source", "line", "ret").rows() == [(f"{tmp_path}/cpu0/trace", 1, 4)]
    assert run.tables["probe_return"].select("source", "line").rows() == [(f"{tmp_path}/cpu1/trace", 1)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"  qemu-12  [003] d..1.  5.000001: x: y", ("s", 3, 5_000_001_000)),
        (b"  qemu 12 [003]  5.000001234: probe:x: (y)", ("s", 3, 5_000_001_234)),
        (b"  CPU 1/KVM 12/13 [003]  5.000001234: probe:x: (y)", ("s", 3, 5_000_001_234)),
        (b"  qemu-12  ( 10) [003] d..1.  5.000001: x: y", ("s", 3, 5_000_001_000)),
        (b"  qemu-12  [003]  1234567890123: x: y", ("ticks", 3, 1234567890123)),
        (b"  qemu-12    3d..1.  500us : x: y", ("us", 3, 500_000)),
        (b"  5.000001 |  3)   2.000 us    |  f();", ("calls", 3, 5_000_001_000)),
        (b" 3)   2.000 us    |  f();", ("calls", 3, None)),
        (b"[    5.000001] pci 0000:00:02.0: enabling device", None),
        (b"Nov 30 02:00:00 host1 kernel: [    5.000001] x", None),
    ],
)
def test_what_the_envelope_of_a_line_tells(text, told):
    found = recordings.stamp(text)
    assert (found and tuple(found)) == told


def test_rows_of_lines_that_run_on_into_another_file_have_no_end(tmp_path):
    (joined,), _ = discover(written(tmp_path, {"cpu0/trace": WHOLE[0] + WHOLE[2], "cpu1/trace": WHOLE[1]}))
    list(joined.chunks())
    frame = pl.DataFrame({"source": [joined.path, "x"], "line": [2, 2], "line_end": [3, 3]})
    assert placed(frame, [joined]).rows() == [(f"{tmp_path}/cpu1/trace", 1, None), ("x", 2, 3)]
