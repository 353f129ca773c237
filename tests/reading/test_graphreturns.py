"""Return values of a function graph in a trace.dat. No recorded trace.dat has them: this one is written as trace-cmd's version 6 lays it out."""

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracekit.pipeline import Options, analyze
from tracekit.reading.graphreturns import with_returns
from tracekit.reading.source import discover

Call = tuple[str, int, list["Call"]]  # function, return value, the calls that it makes
PAGE, PID, MASK = 4096, 342, (1 << 64) - 1
COMMON = """\
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:unsigned long func;\toffset:8;\tsize:8;\tsigned:0;
"""
ENTRY = f"""\
name: funcgraph_entry
ID: 11
format:
{COMMON}\tfield:int depth;\toffset:16;\tsize:4;\tsigned:1;

print fmt: "--> %ps (%d)", (void *)REC->func, REC->depth
"""
EXIT = f"""\
name: funcgraph_exit
ID: 10
format:
{COMMON}\tfield:unsigned long retval;\toffset:16;\tsize:8;\tsigned:0;
\tfield:int depth;\toffset:24;\tsize:4;\tsigned:1;
\tfield:unsigned int overrun;\toffset:28;\tsize:4;\tsigned:0;
\tfield:unsigned long long calltime;\toffset:32;\tsize:8;\tsigned:0;
\tfield:unsigned long long rettime;\toffset:40;\tsize:8;\tsigned:0;

print fmt: "<-- %ps (%d) (start: %llx  end: %llx) over: %d", (void *)REC->func, REC->depth, REC->calltime, REC->rettime, REC->depth
"""
HEADER_PAGE = """\
\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;
"""
HEADER_EVENT = """\
# compressed entry header
\ttype_len    :    5 bits
\ttime_delta  :   27 bits
\tarray       :   32 bits

\tpadding     : type == 29
\ttime_extend : type == 30
\ttime_stamp : type == 31
\tdata max type_len  == 28
"""


def sized(text: str, form: str = "<Q") -> bytes:
    return struct.pack(form, len(text)) + text.encode()


def names_of(calls: list[Call]) -> Iterator[str]:
    for function, _, made in calls:
        yield function
        yield from names_of(made)


def records(calls: list[Call], address: dict[str, int], depth: int = 0) -> Iterator[bytes]:
    for function, ret, made in calls:
        yield struct.pack("<HBBiQi", 11, 0, 0, PID, address[function], depth)
        yield from records(made, address, depth + 1)
        yield struct.pack("<HBBiQQiIQQ", 10, 0, 0, PID, address[function], ret & MASK, depth, 0, 1000, 3000)


def trace_dat(calls: list[Call]) -> bytes:
    """One CPU, one page, an event each microsecond."""
    address = {f: 0xFFFFFFFF81000000 + 0x100 * n for n, f in enumerate(dict.fromkeys(names_of(calls)))}
    data = b"".join(struct.pack("<I", len(r) // 4 | 1000 << 5) + r for r in records(calls, address))
    symbols = "".join(f"{at:016x} T {f}\n" for f, at in address.items()) + f"{0xFFFFFFFF82000000:016x} T _end\n"
    head = b"\x17\x08\x44tracing6\0\0\x08" + struct.pack("<I", PAGE)
    head += b"header_page\0" + sized(HEADER_PAGE) + b"header_event\0" + sized(HEADER_EVENT)
    head += struct.pack("<I", 2) + sized(ENTRY) + sized(EXIT) + struct.pack("<I", 0)
    head += sized(symbols, "<I") + sized("", "<I") + sized(f"{PID} qemu-kvm\n") + struct.pack("<I", 1)
    head += b"options  \0" + struct.pack("<H", 0) + b"flyrecord\0"
    where = -(-(len(head) + 16) // PAGE) * PAGE
    page = (struct.pack("<Qq", 5_000_000_000, len(data)) + data).ljust(PAGE, b"\0")
    return (head + struct.pack("<QQ", where, PAGE)).ljust(where, b"\0") + page


def enable(*inserts: int) -> list[Call]:
    """A SET_IRQS whose inserts return so; the last value is that of the whole."""
    setup: Call = ("pci_setup_msix_device_domain", 1, [("msi_match_device_irq_domain", 1, [])])
    made: list[Call] = [("pci_msix_vec_count", 12, []), setup, *(("msi_insert_desc", ret, []) for ret in inserts)]
    ret = inserts[-1] if inserts[-1] < 0 else len(inserts)
    return [("vfio_pci_set_irqs_ioctl", min(ret, 0), [("__pci_enable_msix_range", ret, made)])]


needs_trace_cmd = pytest.mark.skipif(not shutil.which("trace-cmd"), reason="needs trace-cmd")


def lines_of(path: Path) -> list[str]:
    (source,), errors = discover([str(path)])
    assert errors == []
    return [line.partition(": ")[2] for chunk in source.chunks() for line in chunk.lines]


@needs_trace_cmd
def test_values_stand_behind_the_calls_as_ftrace_prints_them(tmp_path: Path) -> None:
    (tmp_path / "trace.dat").write_bytes(trace_dat(enable(0, -34)))
    found = [line.split("|")[1].strip() for line in lines_of(tmp_path / "trace.dat") if "|" in line]
    assert found == [
        "vfio_pci_set_irqs_ioctl() {",
        "__pci_enable_msix_range() {",
        "pci_msix_vec_count(); /* = 0xc */",
        "pci_setup_msix_device_domain() {",
        "msi_match_device_irq_domain(); /* = 0x1 */",
        "} /* pci_setup_msix_device_domain = 0x1 */",
        "msi_insert_desc(); /* = 0x0 */",
        "msi_insert_desc(); /* = 0xffffffffffffffde */",
        "} /* __pci_enable_msix_range = 0xffffffffffffffde */",
        "} /* vfio_pci_set_irqs_ioctl = 0xffffffffffffffde */",
    ]


@needs_trace_cmd
@pytest.mark.parametrize(("inserts", "told"), [((0, 0, 0, 0, -34), [("MSI-001", "proven", 4)]), ((0, 0, 0, 0), [])])
def test_a_refused_index_is_proven_by_its_value(inserts: tuple[int, ...], told: list[object], tmp_path: Path) -> None:
    (tmp_path / "trace.dat").write_bytes(trace_dat(enable(*inserts)))
    run = analyze([str(tmp_path / "trace.dat")], Options())
    assert [(f.code, f.grade, f.values["index"]) for f in run.findings if f.code != "OBS-001"] == told


HEAD = "        qemu-kvm-342   [{cpu:03}]     5.000001: "


def report(*calls: tuple[int, str]) -> list[bytes]:
    return [(HEAD.format(cpu=cpu) + f"funcgraph_entry:        2.000 us   |      {text}").encode() for cpu, text in calls]


def raw(*exits: tuple[int, str, int]) -> list[bytes]:
    return [(HEAD.format(cpu=cpu) + f"funcgraph_exit:        func={f} retval={ret:#x} depth=2 overrun=0").encode() for cpu, f, ret in exits]


def test_each_cpu_has_an_order_of_its_own() -> None:
    told = with_returns(report((0, "a();"), (1, "b();"), (0, "c();")), raw((1, "b", 2), (0, "a", 1), (0, "c", 3)))
    assert [line.rpartition(b"= ")[2] for line in told] == [b"0x1 */", b"0x2 */", b"0x3 */"]


def test_reports_that_disagree_give_no_values_from_there_on() -> None:
    told = with_returns(report((0, "a();"), (0, "b();"), (0, "c();"), (1, "d();")), raw((0, "a", 1), (0, "x", 2), (0, "c", 3), (1, "d", 4)))
    assert [b"/*" in line for line in told] == [True, False, False, True]


def test_values_that_are_there_already_stay_and_are_counted() -> None:
    given = report((0, "a(); /* = 0x7 */"), (0, "} /* b = 0x8 */"), (0, "c();"))
    assert [line.rpartition(b"= ")[2] for line in with_returns(given, raw((0, "a", 1), (0, "b", 2), (0, "c", 3)))] == [
        b"0x7 */",
        b"0x8 */",
        b"0x3 */",
    ]
