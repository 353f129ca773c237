"""Envelopes: every printed form gives the same message, stamp, machine, side and task."""

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tracekit.grammar.load import load
from tracekit.parsing import envelopes, peeling
from tracekit.parsing.envelopes import Layout
from tracekit.parsing.peeling import before_message, groups_of

RULES = load().envelopes
MESSAGE = "xen:events: creating evtchn using pirq 101 irq 290"
CAPTURES = Path(os.environ.get("TRACEKIT_CAPTURES", Path(__file__).parents[3] / "shared" / "captures"))


def settled(lines: list[str]) -> Layout:
    return Layout.settle(RULES, lines)


def peeled(lines: list[str]) -> list[dict[str, Any]]:
    frame = pl.DataFrame({"line": range(1, len(lines) + 1), "text": lines}, schema={"line": pl.Int64, "text": pl.String})
    layout = settled(lines)
    return list(layout.peel(frame.with_columns(layout.clean(frame["text"]))).iter_rows(named=True))


def first(*lines: str) -> dict[str, Any]:
    return peeled(list(lines))[0]


S = 1_000_000_000
KERNEL_FORMS = {
    "plain": ("[3697700.390188] ", 3697700390188000),
    "padded": ("[    1.000002] ", 1000002000),
    "forum": ("[12.345678] ", 12345678000),
    "level": ("<6>[   12.345678] ", 12345678000),
    "caller": ("[   12.345678][  T123] ", 12345678000),
    "cpu as caller": ("[   12.345678][    C1] ", 12345678000),
    "dmesg -x": ("kern  :info  : [   12.345678] ", 12345678000),
    "dmesg -x, user": ("user  :warn  : [   12.345678] ", 12345678000),
    "dmesg -T": ("[Sat Nov 21 00:09:15 2026] ", 1795219755 * S),
    "dmesg -d": ("[   12.345678 <    1.058637>] ", 12345678000),
    "dmesg -T, German": ("[Di Nov  9 16:59:14 2021] ", None),
    "dmesg -T, French": ("[lun. mars  9 16:59:14 2021] ", None),
    "dmesg -T, Russian": ("[Вт ноя  9 16:59:14 2021] ", None),
    "dmesg -T, Chinese": ("[二 11月  9 16:59:14 2021] ", None),
    "dmesg -Td": ("[Sat Nov 21 00:09:15 2026 <    1.058637>] ", 1795219755 * S),
    "dmesg delta": ("[<    1.058637>] ", None),
    "dmesg -e, new minute": ("[Nov20 23:18] ", None),
    "dmesg -e": ("[  +1.058637] ", None),
    "dmesg -e, German": ("[  +1,058637] ", None),
    "dmesg -e, German, new minute": ("[Mai20 23:18] ", None),
    "dmesg -e, French, new minute": ("[févr. 9 23:18] ", None),
    "dmesg -e, Chinese, new minute": ("[11月 9 23:18] ", None),
    "dmesg -d, German": ("[   12.345678 <    1,058637>] ", 12345678000),
    "dmesg delta, German": ("[<    1,058637>] ", None),
    "dmesg iso": ("2026-11-21T00:09:15,333019+00:00 ", 1795219755 * S + 333019000),
    "dmesg -xT": ("kern  :err   : [Sat Nov 21 00:09:15 2026] ", 1795219755 * S),
    "level alone": ("<6>", None),
    "nothing": ("", None),
    "indented": ("    [   12.345678] ", 12345678000),
    "tab": ("\t[   12.345678] ", 12345678000),
    "mediatek": ("<6>[   12.345678] (2)[1:init]", 12345678000),
    "samsung": ("[   12.345678] [0:        swapper/0:    1] ", 12345678000),
    "colour": ("\x1b[32m[   12.345678] \x1b[0m\x1b[33m", 12345678000),
    "no-break blanks": ("[\u00a0\u00a0 12.345678] ", 12345678000),
    "entities": ("&lt;6&gt;[   12.345678] ", 12345678000),
    "overwritten": ("progress 12%\r[   12.345678] ", 12345678000),
    "broadcast": (" kernel:[   12.345678] ", 12345678000),
    "broadcast, no stamp": (" kernel:", None),
}


@pytest.mark.parametrize("form", KERNEL_FORMS)
def test_kernel_forms(form: str) -> None:
    prefix, ts = KERNEL_FORMS[form]
    row = first(prefix + MESSAGE)
    assert (row["msg"], row["ts"], row["side"]) == (MESSAGE, ts, "kernel")


def test_caller_is_thread_or_cpu() -> None:
    assert first("[    1.000000][  T123] text")["tid"] == 123
    assert first("[    1.000000][    C4] text")["on_cpu"] == 4
    assert first("2025-12-05T01:58:53.260991+01:00 lisa kernel: [ T1772] pcieport 0000:00:01.1: text")["tid"] == 1772


def test_brackets_of_the_text_are_no_caller() -> None:
    assert first("[    1.000000] [drm] text")["msg"] == "[drm] text"
    assert first("[    1.000000] [Firmware Bug]: text")["msg"] == "[Firmware Bug]: text"


def test_forged_stamp_stays_text() -> None:
    row = first("[   20.000000] [   12.000000] fake ts")
    assert (row["ts"], row["msg"]) == (20 * S, "[   12.000000] fake ts")


COLLECTED = {
    "rfc3164": ("Nov 21 00:13:22 vm kernel: [3697700.390188] ", "vm", 3697700390188000),
    "rfc3164, Polish": ("lis 21 00:13:22 vm kernel: [3697700.390188] ", "vm", 3697700390188000),
    "rfc3164, German": ("M\u00e4r 21 00:13:22 vm kernel: [3697700.390188] ", "vm", 3697700390188000),
    "rfc3164, two blanks": ("Nov 21 00:13:22 vm  kernel: [3697700.390188] ", "vm", 3697700390188000),
    "rfc3164 stripped": ("Jan  1 00:13:22 vm kernel: ", "vm", 63072802 * S),
    "wire": ("<4>Nov 21 00:13:22 vm kernel: [3697700.390188] ", "vm", 3697700390188000),
    "rsyslog": ("2026-11-21T00:13:22.378012+00:00 vm kernel: [3697700.390188] ", "vm", 3697700390188000),
    "rfc5424": ("<4>1 2026-11-21T00:13:22.378012+00:00 vm kernel - - -  [3697700.390188] ", "vm", 3697700390188000),
    "rfc5424 data": ('<4>1 2026-11-21T00:13:22Z vm kernel - - [id k="v w"] ', "vm", 1795220002 * S),
    "anaconda": ("00:13:22,378 WARNING kernel:", "", None),
    "busybox": ("Jan  1 00:00:05 OpenWrt kern.info kernel: [    4.500000] ", "OpenWrt", 4500000000),
    "journal short": ("Jul 22 04:26:40 vmhost kernel: ", "vmhost", None),
    "journal precise": ("Jul 22 04:26:40.123456 vmhost kernel: ", "vmhost", None),
    "journal full": ("Sat 2023-07-22 04:26:40 UTC vmhost kernel: ", "vmhost", 1690000000 * S),
    "journal iso": ("2023-07-22T04:26:40+0000 vmhost kernel: ", "vmhost", 1690000000 * S),
    "journal iso zone": ("2023-07-22T06:26:40+02:00 vmhost kernel: ", "vmhost", 1690000000 * S),
    "journal iso precise": ("2023-07-22T04:26:40.123456+0000 vmhost kernel: ", "vmhost", 1690000000123456000),
    "journal monotonic": ("[3697700.389188] vmhost kernel: ", "vmhost", 3697700389188000),
    "journal delta": ("[3697701.389188 <    1.000000 >] vmhost kernel: ", "vmhost", 3697701389188000),
    "journal unix": ("1690000000.123456 vmhost kernel: ", "vmhost", 1690000000123456000),
    "journal no host": ("Jul 22 04:26:40 kernel: ", "", None),
    "logread": ("Thu Sep 14 12:00:00 2023 kern.info kernel: [   12.345678] ", "", 12345678000),
    "logcat": ("01-13 18:44:24.123     0     0 I         : ", "", None),
    "cri": ("2026-11-21T00:13:22.378012345Z stdout F ", "", 1795220002378012345),
    "actions": ("2023-09-14T12:00:00.1234567Z [   12.345678] ", "", 12345678000),
    "lava": ("2023-09-14T12:00:00.123456  [    0.000000] ", "", 0),
    "jenkins": ("[2023-09-14T12:00:00.123Z] [   12.345678] ", "", 12345678000),
    "conserver": ("[2026-11-21 00:13:22] [   12.345678] ", "", 12345678000),
    "tio": ("[00:13:22.378] [   12.345678] ", "", 12345678000),
}


@pytest.mark.parametrize("form", COLLECTED)
def test_collectors(form: str) -> None:
    prefix, host, ts = COLLECTED[form]
    row = first(prefix + MESSAGE)
    assert (row["msg"], row["machine"]) == (MESSAGE, host)
    assert ts is None or row["ts"] == ts


def test_tag_and_pid_of_other_programs() -> None:
    row = first("Jul 22 04:26:45 vmhost qemu-kvm[4321]: vfio: failed to enable vectors, No space left on device")
    assert (row["tag"], row["tid"], row["side"]) == ("qemu-kvm", 4321, "device-model")
    assert row["msg"] == "vfio: failed to enable vectors, No space left on device"
    row = first("11:35:47,546 INFO multipathd:path checkers start up")
    assert (row["tag"], row["msg"]) == ("multipathd", "path checkers start up")


def test_monotonic_journal_is_decided_per_file() -> None:
    row = first("[   12.000000] usb kernel: text", *["[   13.000000] nvme nvme0: text"] * 9)
    assert (row["machine"], row["msg"]) == ("", "usb kernel: text")


XEN = {
    "none": ("(XEN) ", "hypervisor", None),
    "boot": ("(XEN) [    3.144499] ", "hypervisor", 3144499000),
    "raw": ("(XEN) [000000020c7ce22a] ", "hypervisor", None),
    "date": ("(XEN) [2017-01-13 18:44:24] ", "hypervisor", 1484333064 * S),
    "datems": ("(XEN) [2026-11-21 00:18:18.449] ", "hypervisor", 1795220298449000000),
    "guest": ("(d12) [    3.210000] ", "guest12", 3210000000),
    "guest behind boot stamp": ("(d1) [    5.100000] [    3.210000] ", "guest1", 3210000000),
    "xenconsoled": ("[2026-11-21 00:13:22] (XEN) ", "hypervisor", 1795220002 * S),
}


@pytest.mark.parametrize("form", XEN)
def test_xen(form: str) -> None:
    prefix, side, ts = XEN[form]
    row = first(prefix + "irq.c:2812: dom0: text\r\r")
    assert (row["msg"], row["side"], row["ts"]) == ("irq.c:2812: dom0: text", side, ts)


def test_xen_prefix_behind_a_printk_stamp_is_text() -> None:
    row = first("[   12.000000] (XEN) fake")
    assert (row["msg"], row["side"]) == ("(XEN) fake", "kernel")


def test_dom0_and_xen_share_a_line() -> None:
    rows = peeled(["(XEN) [    3.144499] one", "[    3.150000] two", "(XEN) three"])
    assert [r["side"] for r in rows] == ["hypervisor", "kernel", "hypervisor"]
    assert [r["msg"] for r in rows] == ["one", "two", "three"]


TASK = ("sh", 149, 0, 17778921000)
FTRACE = {
    "default": "              sh-149     [000] d..2.    17.778921: vector_alloc: irq=24",
    "four flags": "              sh-149     [000] d..2    17.778921: vector_alloc: irq=24",
    "tgid": "              sh-149     (    149) [000] d..2.    17.778921: vector_alloc: irq=24",
    "tgid unknown": "              sh-149     (-------) [000] d..2.    17.778921: vector_alloc: irq=24",
    "no flags": "              sh-149     [000]    17.778921: vector_alloc: irq=24",
    "collapsed": " sh-149 [000] d..2. 17.778921: vector_alloc: irq=24",
    "android": "sh-149 (-----) [000] d..2 17.778921: vector_alloc: irq=24",
    "trace-cmd": "              sh-149   [000]    17.778921: vector_alloc:         irq=24",
    "trace-cmd -t": "              sh-149   [000]    17.778921000: vector_alloc:         irq=24",
    "trace-cmd -R": "              sh-149   [000]    17.778921: vector_alloc:          irq=24",
    "trace-cmd -w": "              sh-149   [000]    17.778921: vector_alloc:  irq=24",
    "trace-cmd -l": "      sh-149     0d..2.    17.778921: vector_alloc: irq=24",
    "trace-cmd diff": "              sh-149   [000]    17.778921: (+1038)  vector_alloc: irq=24",
    "latency": "      sh-149       0d..2. 17778921us+: vector_alloc: irq=24",
    "latency, no mark": "      sh-149       0d..2. 17778921us : vector_alloc: irq=24",
    "perf": "              sh   149 [000]    17.778921: irq_vectors:vector_alloc: irq=24",
    "perf -g": "sh   149 [000]    17.778921: irq_vectors:vector_alloc: irq=24",
    "perf pid/tid": "              sh   7/149 [000]    17.778921: irq_vectors:vector_alloc: irq=24",
    "perf --ns": "              sh   149 [000]    17.778921000:          1 irq_vectors:vector_alloc: irq=24",
    "in printk": "[   28.025329]       sh-149       0d..2. 17778921us : vector_alloc: irq=24",
}


@pytest.mark.parametrize("form", FTRACE)
def test_tracer_columns(form: str) -> None:
    row = first(FTRACE[form])
    task, tid, cpu, ts = TASK
    assert (row["task"], row["on_cpu"], row["ts"], row["msg"]) == (task, cpu, ts, "vector_alloc: irq=24")
    assert row["tid"] == tid


@pytest.mark.parametrize("task", ["CPU 0/KVM-4330", "kworker/u8:1-31", "<idle>-0", "irq/26-pciehp-77", "<...>-12", "rcu-preempt [x]-18"])
def test_odd_task_names(task: str) -> None:
    name, tid = task.rsplit("-", 1)
    padded = first(f"{name:>16}-{tid:<7} [001] d..2.    17.778921: f: x")
    bare = first(f" {task} [001] d..2. 17.778921: f: x")
    assert [(r["task"], r["tid"], r["msg"]) for r in (padded, bare)] == [(name, int(tid), "f: x")] * 2


def test_counters_have_no_time() -> None:
    row = first("              sh-149     [000] d..2.            3: irq_matrix_free: bit=35")
    assert (row["ts"], row["ts_raw"], row["msg"]) == (None, "3", "irq_matrix_free: bit=35")


def test_verbose_latency() -> None:
    row = first("              sh     149   0 1 00000002 00000000 [0141b84d] 269.983ms (+0.054ms): irq_matrix_free: bit=35")
    assert (row["task"], row["tid"], row["msg"], row["ts"]) == ("sh", 149, "irq_matrix_free: bit=35", 269_983_000)


@pytest.mark.parametrize("stamp", ["4.9", " 4.92", "    4.926", "4.92651234", "   4.926512345"])
def test_a_stamp_that_was_shortened(stamp: str) -> None:
    rows = peeled([f"[{stamp}] pci 0000:00:02.0: enabling device", f"[{stamp}] usb 1-1: x"])
    assert [r["msg"] for r in rows] == ["pci 0000:00:02.0: enabling device", "usb 1-1: x"]
    assert {str(r["ts"]).startswith("49") and len(str(r["ts"])) == 10 for r in rows} == {True}


def test_a_version_in_brackets_is_no_stamp() -> None:
    lines = ["[0.1] first version", "a paragraph about it", "and one more", "to the end"]
    assert not settled(lines).layers


RECORDED = [
    "vfioirq-179   [001]    37.622112: vector_setup:         irq=32",
    "CPU 0/KVM-179   [001] d.h1.    37.622112: vector_setup:         irq=32",
]


@pytest.mark.parametrize("recorded", [*RECORDED, "vfioirq-179    1d..2.    37.622112: vector_setup:         irq=32"])
def test_trace_cmd_report_of_several_files_and_of_instances(recorded: str) -> None:
    lines = [" trace-host.dat: cpus=2", f" trace-host.dat:          {recorded}", f"/tmp/a/guest.1.dat:          {recorded}"]
    instance = "  irqs:  " if "[" in recorded else ""
    rows = peeled([*lines, f"{instance}        {recorded}", f"                 {recorded}"])[1:]
    assert [r["machine"] for r in rows] == ["trace-host", "/tmp/a/guest.1", "", ""]
    assert {(r["tid"], r["on_cpu"], r["ts"], r["msg"]) for r in rows} == {(179, 1, 37622112000, "vector_setup: irq=32")}
    assert {r["task"] for r in rows} == {recorded.split("-")[0]}


@pytest.mark.parametrize(
    "line", ["wrote trace.dat: 12 pages", "trace.dat: data", "backup.dat: job-12 [001] is done: 5", "irqs: a-1 [001] x"]
)
def test_what_is_no_line_of_a_file_of_trace_cmd(line: str) -> None:
    assert not settled([line]).layers


PERF = {
    "16.779983: ": (None, None, None, True),
    " 16.779983000: ": (None, None, None, True),
    "[001] 16.779983: ": (None, None, 1, True),
    "    205 16.779983: ": (None, 205, None, True),
    "    200/205     [001] 16.779983: ": (None, 205, 1, True),
    "     CPU 0/KVM     205    16.779983: ": ("CPU 0/KVM", 205, None, True),
    "     CPU 0/KVM     200/205        16.779983:          1 ": ("CPU 0/KVM", 205, None, True),
    "     CPU 0/KVM     200/205     [001]    16.779983: ": ("CPU 0/KVM", 205, 1, True),
    "     CPU 0/KVM     205 [001] VCPU:003 K      16.779983: ": ("CPU 0/KVM", 205, 1, True),
    "         vfioirq   16.779983: ": ("vfioirq", None, None, True),
    "         vfioirq   [001]   16.779983: ": ("vfioirq", None, 1, True),
    "         vfioirq   205 [001] ": ("vfioirq", 205, 1, False),
    "         vfioirq   200/205 ": ("vfioirq", 205, None, False),
}


@pytest.mark.parametrize("head", PERF)
def test_perf_script_with_other_fields(head: str) -> None:
    lines = [f"{head}         kprobes:k_open: (ffffffff81100044) vdev=0x1", f"{head}    irq:irq_handler_entry: irq=26 name=a: b"]
    rows = peeled(lines)
    assert [r["msg"] for r in rows] == ["k_open: (ffffffff81100044) vdev=0x1", "irq_handler_entry: irq=26 name=a: b"]
    assert {(r["task"], r["tid"], r["on_cpu"], r["ts"] == 16_779_983_000) for r in rows} == {PERF[head]}
    assert settled(lines).trace


@pytest.mark.parametrize(
    "line",
    [
        "irq:irq_handler_entry: irq=26 name=x",  # nothing but the event
        "std::sys:open: no such file",
        "took 16.7: kvm:x: y",
        "irq: type: mismatch, failed to map hwirq-40 for interrupt-controller",
        "kvm: x: 16.779983: y",
    ],
)
def test_what_is_no_line_of_perf(line: str) -> None:
    assert not settled([line, "something else", "and more"]).trace


GRAPH = {
    "default": (" 1)               |  f() {", None, "              |  f() {"),
    "leaf": (" 1) + 92.639 us   |    g();", None, "+ 92.639 us   |    g();"),
    "exit": (" 1) ! 316.092 us  |    }", None, "! 316.092 us  |    }"),
    "abstime, proc, tail": ("   57.999608 |   1)     sh-149     | + 19.929 us   |        } /* g */", 57999608000, "+ 19.929 us   |        } /* g */"),
    "latency": ("   57.999099 |   1)     sh-149     |  ...1. |               |  f() {", 57999099000, "              |  f() {"),
    "interrupt": (" 1)   ==========> |", None, "  ==========> |"),
    "wide": (" 1) * 12206.12 us |            g();", None, "* 12206.12 us |            g();"),
    "in printk": ("[   48.204181]  1) # 1069.974 us |    g();", 48204181000, "# 1069.974 us |    g();"),
    "trace-cmd": ("              sh-149   [001]    17.778921: funcgraph_entry:        2.619 us   |      g();", 17778921000, "       2.619 us   |      g();"),
    "trace-cmd exit": ("              sh-149   [001]    17.778921: funcgraph_exit:       ! 158.900 us |    }", 17778921000, "      ! 158.900 us |    }"),
}  # fmt: skip


@pytest.mark.parametrize("form", GRAPH)
def test_function_graph(form: str) -> None:
    line, ts, msg = GRAPH[form]
    row = first(line)
    assert (row["msg"].strip(), row["on_cpu"], row["ts"]) == (msg.strip(), 1, ts)
    assert "|" in row["msg"].split("us")[-1]


PLAIN = {
    "cpu": (" 1) ", None, 1, None),
    "abstime": ("   57.999608 |   1) ", 57999608000, 1, None),
    "proc": (" 1)     sh-149     | ", None, 1, 149),
    "abstime, proc, latency": ("   57.999608 |   1)     sh-149     |  d..1. | ", 57999608000, 1, 149),
    "proc alone": ("     sh-149     | ", None, None, 149),
    "abstime alone": ("   57.999608 |  ", 57999608000, None, None),
    "abstime and proc alone": ("   57.999608 |      sh-149     | ", 57999608000, None, 149),
}


@pytest.mark.parametrize("form", PLAIN)
def test_function_graph_without_durations(form: str) -> None:
    head, ts, cpu, tid = PLAIN[form]
    told = ("f [drv]() {", "  g(a=0x0, s=(struct x)[0x1:0x2]); /* = 0x8 */", "} /* f = 0x0 */", "/* opened */", "==========>")
    lines = [f"{head}{text}" for text in told]
    made = ("|  f [drv]() {", f"? us |  {told[1]}", "? us |  } /* f = 0x0 */", "|  /* opened */", "==========> |")
    rows = peeled(lines)
    deeper = " " if form == "abstime alone" else ""  # than behind other columns, in all lines
    assert [r["msg"].replace(f"|  {deeper}", "|  ") for r in rows] == list(made) and settled(lines).dense
    assert {(r["ts"], r["on_cpu"], r["tid"]) for r in rows} == {(ts, cpu, tid)}


@pytest.mark.parametrize("form", ["proc alone", "abstime alone", "abstime and proc alone"])
def test_function_graph_without_cpus(form: str) -> None:
    head, ts, cpu, tid = PLAIN[form]
    told = ["              |  f() {", "+ 92.639 us   |    g();", "  ==========> |", "! 316.092 us  |  }"]
    rows = peeled([f"{head.rstrip()} {text}" for text in told])
    assert [r["msg"] for r in rows] == told
    assert {(r["ts"], r["on_cpu"], r["tid"]) for r in rows} == {(ts, cpu, tid)}


@pytest.mark.parametrize(
    "lines",
    [
        ["1) pci_free_irq_vectors();", "2) the driver of the function, see below", "3) another way out of it", "4) and one more"],
        ["web-1  | GET /index.html", "web-1  | {}", "db-2   | ready"],
        ["    pci_free_irq_vectors(pdev);", "    kfree(ctx);", "}"],
        [" * 1) f(x);", "   - 2) g(y);"],
    ],
)
def test_code_lists_and_containers_are_no_graph(lines: list[str]) -> None:
    assert not settled(lines).trace


def test_function_graph_is_dense_and_names_task_switches() -> None:
    lines = [" 1)               |  f() {", " 1) + 92.639 us   |    g();", " 0)     sh-149     =>   migrati-21 "]
    layout = settled(lines)
    assert layout.dense and layout.trace
    assert peeled(lines)[2]["msg"] == "sh-149     =>   migrati-21 "
    assert not settled(["1) first item of a list", "2) second item"]).layers


def test_bare_graph_and_tables_of_a_readme() -> None:
    assert settled([" + 92.639 us   |    g();", "               |  f() {"]).dense
    assert not settled(["| file | what |", "| --- | --- |", "| a.txt | b |"]).layers


def test_qemu() -> None:
    traced = first("6331@1795220106.408352:pci_cfg_write mch 00:00.0 @0x90 <- 0x33333330")
    assert (traced["tid"], traced["ts"], traced["msg"]) == (6331, 1795220106408352000, "pci_cfg_write mch 00:00.0 @0x90 <- 0x33333330")
    bare = settled(["msix_write_config dev nvme enabled 1 masked 0", "vtd_ir_remap_msi_req addr 0xfee00030 data 0x2"])
    assert bare.trace and bare.marks(pl.Series(["vfio_msix_enable  (0000:2e:00.1)"]), pl.Series([False]))["event"].to_list() == [
        "vfio_msix_enable"
    ]
    for prefix in ("", "    ", "2026-11-21T00:15:08.392204Z ", "2026-11-21T00:15:10.599096Z vmX ", "/usr/bin/"):
        said = first(prefix + "qemu-system-x86_64: vtd_irte_get: detected non-present IRTE (index=2047, high=0x0, low=0x0)")
        assert (said["msg"][:13], said["side"]) == ("vtd_irte_get:", "device-model")
    for prefix in ("kvm: ", "Nov 21 00:13:22 vm QEMU[2345]: kvm: "):
        said = first(prefix + "vfio: failed to enable vectors, -28")
        assert (said["msg"], said["side"]) == ("vfio: failed to enable vectors, -28", "device-model")
    assert first("[    1.000000] kvm: exiting hardware virtualization")["side"] == "kernel"


def test_libvirt() -> None:
    assert first("2026-11-21 00:15:08.392+0000: starting up libvirt version: 9")["msg"].startswith("starting up")
    row = first("2018-11-23 23:37:59.352+0000: 2093: error : virPCIDeviceReset:1001 : internal error")
    assert (row["tid"], row["msg"]) == (2093, "virPCIDeviceReset:1001 : internal error")


def test_stamp_in_the_middle_of_a_serial_line() -> None:
    rows = peeled(["[   42.483798] one", "iMeVQ[   42.483799] Freeing unused decrypted memory: 2028K", "login: "])
    assert [(r["msg"], r["ts"]) for r in rows[:2]] == [("one", 42483798000), ("Freeing unused decrypted memory: 2028K", 42483799000)]
    assert rows[2]["msg"] == "login: "


def test_a_later_part_of_another_kind_is_looked_at_again() -> None:
    layout = settled(["[   12.345678] text"] * 50)
    frame = pl.DataFrame({"line": [1, 2, 3], "text": ["[   13.000000] x", FTRACE["default"], "plain"]})
    rows = layout.peel(frame)
    assert rows["msg"].to_list() == ["x", "vector_alloc: irq=24", "plain"]
    assert rows["task"].to_list() == [None, "sh", None]


def test_frames_parts_and_event_names() -> None:
    lines = [
        "# tracer: nop",
        "#",
        "",
        FTRACE["default"],
        "              sh-149     [000] d..2.    17.778921: <stack trace>",
        " => f",
        " => g",
    ]
    layout, text = settled(lines), pl.Series(lines)
    marks = layout.marks(text, pl.Series([False] * len(text)))
    assert marks["frames"].to_list() == [True, True, True, False, False, False, False]
    assert marks["part"].to_list() == [False] * 5 + [True, True]
    assert marks["event"].to_list()[3] == "vector_alloc"
    perf = settled([FTRACE["perf"]])
    assert perf.marks(pl.Series([FTRACE["perf"]] * 2), pl.Series([False, True]))["event"].to_list() == ["vector_alloc", None]


CLOCKS = {
    "printk": "[   12.345678] text",
    "ftrace": FTRACE["default"],
    "microseconds since the buffer's start": FTRACE["latency"],
    "xen": "(XEN) [    3.144499] text",
    "unix time": "6331@1795220106.408352:pci_cfg_write mch",
    "none": "text",
    "wall clock": "2023-07-22T04:26:40+0000 vmhost kernel: text",
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_clock_names(clock: str) -> None:
    assert settled([CLOCKS[clock]]).clock == clock


def test_trace_cmd_names_its_clock() -> None:
    assert settled(["# trace_clock: mono_raw", FTRACE["trace-cmd"]]).clock == "ftrace mono_raw"


@pytest.mark.skipif(not CAPTURES.exists(), reason="captures are not here")
@pytest.mark.parametrize(
    "name", ["short", "short-precise", "short-full", "short-iso", "short-iso-precise", "short-unix", "short-monotonic", "with-unit"]
)
def test_captured_journal_forms(name: str) -> None:
    lines = (CAPTURES / "envelopes" / f"journal-{name}.txt").read_text().splitlines()
    rows = [r for r in peeled(lines) if r["envelope"] != "none"]
    assert [r["machine"] for r in rows] == ["vmhost"] * 6
    assert rows[0]["msg"] == MESSAGE


def test_raw_probe_fields_of_trace_cmd_are_put_in_parentheses() -> None:
    entry = "              sh-149   [000]    17.778921: mine:             __probe_ip=ffffffff817a6b14 dev=0x1"
    leave = (
        "              sh-149   [000]    17.778921: mine:             __probe_func=ffffffff81179c30 __probe_ret_ip=ffffffff817a5cf1 rc=0"
    )
    assert [r["msg"] for r in peeled([entry, leave])] == [
        "mine: (ffffffff817a6b14) dev=0x1",
        "mine: (ffffffff81179c30 <- ffffffff817a5cf1) rc=0",
    ]


def test_every_line_of_a_symbol_table_matters() -> None:
    assert settled(["ffffffff81000000 T _text", "ffffffffc0a01230 t vfio_msi_disable\t[vfio_pci_core]"] * 20).dense
    assert not settled(["[    1.000000] text"] * 20).dense


@pytest.mark.parametrize("many", [peeling.MANY, 0], ids=["each line", "by heads"])
def test_a_message_that_is_the_rest_of_the_line_is_the_same_cut_off_as_captured(many, monkeypatch):
    monkeypatch.setattr(peeling, "MANY", many)
    monkeypatch.setattr(peeling, "_OWN", 1 << 20)
    logs = sorted(p for p in (Path(__file__).parents[2] / "sample_traces").rglob("*") if p.suffix in (".txt", ".log"))
    lines = [line for p in logs for line in p.read_text(encoding="utf-8", errors="replace").split("\n")[:300]]
    text = pl.Series([*lines, "", " 0)", f" bash-1-2-33  [000] ..... 1.000000: {MESSAGE}\r"])
    cut = [rule.regex for rule in RULES.values() if before_message(rule.regex)]
    assert len(cut) > 10
    for regex in cut:
        whole = text.str.extract_groups(f"(?P<whole_match>{regex})").struct.unnest()
        made = groups_of(text, regex).with_columns(whole["whole_match"].alias("whole_match"))
        assert made.equals(whole[made.columns]), regex


def test_few_heads_before_many_messages_are_looked_at_once():
    lines = [f" {cpu})  qemu-kvm-{pid}  |  {n % 9}.512 us   |  kfree();" for n in range(40) for cpu, pid in ((0, 7), (1, 8))]
    regex = RULES["function_graph"].regex
    parts = before_message(regex)
    text = pl.Series([*lines, "# tracer: function_graph", "", " 0)  + 92.639 us   |  kfree();"])
    assert peeling._by_heads(text, *parts).equals(groups_of(text, regex))
    stamped = pl.Series([f" {n}.000001 |   0)  qemu-kvm-7  |   0.512 us   |  kfree();" for n in range(1000)])
    assert peeling._by_heads(stamped, *parts) is None
    assert peeling._by_heads(pl.Series(["ab"] * 9), r"(?P<tag>a\b)?(?P<task>a?)", "(?:b)", "msg") is None


def test_a_text_of_several_lines_has_its_message_captured_as_it_was():
    text = pl.Series([" bash-33  [000] ..... 1.000000: one", " bash-33  [000] ..... 1.000000: one\ntwo"])
    regex = RULES["ftrace_any"].regex
    assert groups_of(text, regex)["msg"].to_list() == ["one", None]


PADDED = "            bash-1234    [001] d..1.   100.000001: {}"
TRACES = {
    "ftrace": [PADDED, "   a task: of-77      [003] .....     1.000002: {}", " été: ou: non-7       [000] d..1. 123456.000000: {}"],
    "trace-cmd": ["            bash-1234  [001]   100.000001: {}", " b: c-9 [002] 100.000002:     {}"],
    "perf": ["bash  1234 [001]   100.000001:     irq:{}", "b: c  12 [002] 100.000002: irq:{}"],
    "latency": ["    bash-1234    1d..1.  100us : {}", "    bash-1234    1d..1.  101us!: {}"],
}
TRACED = (
    *(
        "irq_handler_entry: irq=5 name=eth0",
        "sched_switch: prev_comm=a: b: ==> next_comm=c",
        "foo:",
        "foo",
        "f: : b: c",
        "no event: here: 1",
    ),
    *("été: x: y", "", "# comment: a: b", "=> part: c: d"),
)
BARE = [
    "",
    "# tracer: nop",
    "##### CPU 1 buffer started ####",
    " => ret_from_fork",
    "cpus=4",
    "a: b: c",
    "x: y_z: 1",
    "{ irq: 5 } hitcount: 3",
]


@pytest.mark.parametrize("tracer", TRACES)
def test_lines_that_are_cut_behind_their_envelope_have_the_same_marks(tracer: str) -> None:
    lines = [form.format(text) for form in TRACES[tracer] for text in TRACED]
    layout = settled(lines * 3)
    text = pl.Series("text", [*lines, *BARE])
    cut = layout.cut(text)
    assert cut is not None and 0 < cut.enveloped.sum() <= len(lines)
    for known in ([False] * len(text), [n % 3 == 0 for n in range(len(text))], [True] * len(text)):
        whole, parts = (layout.marks(text, pl.Series(known), c) for c in (None, cut))
        assert parts.rows() == whole.rows() and parts.columns == whole.columns
    rows = zip(text, cut.behind, cut.enveloped, strict=True)
    assert all(
        line.endswith(behind) and (has or line == behind) and (not has or ": " not in line[: -len(behind) - 2])
        for line, behind, has in rows
    )
    peeled = layout.peel(pl.DataFrame({"line": range(len(lines)), "text": lines})).filter(pl.col("envelope") != "none")
    assert peeled.height > len(lines) // 2
    assert all(cut.behind[line].endswith(message) for line, message in peeled.select("line", "msg").iter_rows())


def test_lines_whose_envelope_has_no_colon_are_not_cut() -> None:
    assert settled(["6331@1795220106.408352:pci_cfg_write mch 00:00.0 @0x90 <- 0x33333330"]).cut(pl.Series("text", ["a: b"])) is None
    assert settled(["[    1.000000] text: more"] * 9).cut(pl.Series("text", ["a: b"])) is None
    assert settled([" 1)               |  f() {"]).cut(pl.Series("text", ["a: b"])) is None


def test_sources_settled_together_have_the_layouts_that_each_has_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [
        p.read_text(errors="replace").split("\n")[:1000] for p in sorted((Path(__file__).parents[2] / "sample_traces").rglob("*.txt"))[::3]
    ]
    samples += [
        [],
        [""],
        ["[    1.000000] text\n", "text\n"],
        ["kernel: a\nqemu-system-x86_64: vfio: b"],
        *([line] * 3 for line in FTRACE.values()),
    ]
    alone = [settled(lines) for lines in samples]
    monkeypatch.setattr(envelopes, "_MANY", 0)
    assert Layout.settle_together(RULES, samples) == alone
    assert [settled(lines) for lines in samples] == alone


def test_a_tag_of_the_collector_tells_a_log_of_the_kernel() -> None:
    daemons = ["Nov 29 10:00:02 node1 sshd[1234]: Accepted publickey for root", "Nov 29 10:00:03 node1 sshd[1235]: no kernel: none of it"]
    assert not settled(daemons).kernel
    assert settled([*daemons, "Nov 29 10:00:05 node1 kernel: EXT4-fs (sdb1): mounted filesystem"]).kernel
    assert settled([*daemons, "Nov 29 10:00:05 kernel: EXT4-fs (sdb1): mounted filesystem"]).kernel
    assert settled(["11:35:47,546 INFO kernel:EXT4-fs (sdb1): mounted filesystem"] * 3).kernel
    assert not settled(
        ["11:35:47,546 INFO root:no kernel: none of it", "11:35:47,546 - INFO - kernel:x", "11:35:47,546 INFO kernel.py:12 x"]
    ).kernel
    assert settled(["2026-11-29T10:00:05+0000 node1 kernel[1]: EXT4-fs (sdb1): mounted filesystem"] * 3).kernel
    for dmesg in (
        "[    5.100000] ",
        "[Thu Mar 14 19:57:46 2024] ",
        "[  +0.000012] ",
        "[  +0,000012] ",
        "2026-11-21T00:09:15,333019+00:00 ",
    ):
        assert settled([f"{dmesg}usb 1-1: new high-speed USB device"] * 3).kernel, dmesg
    assert not settled(["(XEN) [2026-11-21 00:09:15] Dom0 has maximum 4 VCPUs", "usb 1-1: new high-speed USB device"]).kernel
