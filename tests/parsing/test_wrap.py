"""Wrappers: physical lines become logical ones, and every physical line is accounted for."""

import json
import os
from pathlib import Path

import pytest

from tracekit.parsing.logical import Logical
from tracekit.parsing.wrap import detect

CAPTURES = Path(os.environ.get("TRACEKIT_CAPTURES", Path(__file__).parents[3] / "shared" / "captures"))
STAMPED = "[3697700.390188] xen:events: creating evtchn using pirq 101 irq 290"


def unwrapped(text: str) -> list[Logical]:
    lines = text.removesuffix("\n").split("\n")
    wrapper = detect(lines)
    assert wrapper is not None
    found = [*wrapper.feed(lines[: len(lines) // 2], 1), *wrapper.feed(lines[len(lines) // 2 :], len(lines) // 2 + 1), *wrapper.close()]
    assert sum(x.line_end - x.line + 1 for x in found) == len(lines)
    return found


def texts(text: str) -> list[str]:
    return [x.text for x in unwrapped(text) if x.text.strip()]


def test_ordinary_logs_have_no_wrapper() -> None:
    dmesg = [
        f"[   12.{i:06d}] usb 1-{i}: new device, with a text that is rather long, longer than a line of a mail is ({i})" for i in range(60)
    ]
    assert detect(dmesg) is None
    assert detect([*dmesg, "a line of a program"]) is None
    assert detect(["              sh-149     [000] d..2.    17.778921: vector_alloc: irq=24 vector=35 reserved=1 ret=0"] * 9) is None
    assert detect([" 1)               |  f() {", " 1) + 92.639 us   |    g();", " 1) ! 316.092 us  |  }"]) is None
    assert detect(["| file | what |", "| --- | --- |"]) is None
    assert detect([]) is None


@pytest.mark.parametrize("quote", ["> ", ">", ">>> ", "> >>> >> ", ">> >> > ", "| ", "> | ", "JD> "])
def test_quotes_of_any_depth(quote: str) -> None:
    assert texts("".join(f"{quote}{STAMPED}\n" for _ in range(3))) == [STAMPED] * 3


def test_depth_may_change_inside_a_log() -> None:
    assert texts(f"> > {STAMPED}\n> {STAMPED}\n{STAMPED}\n") == [STAMPED] * 3


def test_quoted_trace_keeps_its_columns() -> None:
    line = "              fio-3185  [010] 50419.297934: sched_stat_runtime:   comm=fio"
    assert texts(f"> > > {line}\n> > > {line}\n") == [line] * 2


def test_escaped_from_is_no_quote() -> None:
    assert texts(f"> >>> >> {STAMPED}\n> >>> >> >From the hypervisor code\n> >>> >> {STAMPED}\n")[1] == "From the hypervisor code"


def test_wrapped_tails_are_joined() -> None:
    found = unwrapped(
        "> >>> >> [3697700.408345] ixgbevf 0000:00:04.0: NIC Link is Up 10 Gbps\n"
        "> >>> >>\n"
        "> >>> >> nic 3 uses pirq 99-101, while nic 4 uses pirq 96-98.\n"
        "> >>> >>\n"
        "> >>> >> [3697705.470151] xen:events: shutdown_pirq: xen_domain() == 1,\n"
        "> >>> >> xen_pv_domain() == 0, xen_hvm_domain() == 1, xen_initial_domain() ==\n"
        "> >>> >> 0, xen_pvh_domain() == 0\n"
        "> >>> >>\n"
        "> >>> >> just to be sure, a bit of dbg so I know what domain this is :-)\n"
        "> >>> >>\n"
        "> >>> >> [3697778.781463] xen:events: shutdown_pirq: get_free_pirq returned pirq 93\n"
    )
    written = [x for x in found if x.text.strip()]
    assert written[2] == Logical(
        5,
        7,
        "[3697705.470151] xen:events: shutdown_pirq: xen_domain() == 1, xen_pv_domain() == 0, xen_hvm_domain() == 1, "
        "xen_initial_domain() == 0, xen_pvh_domain() == 0",
    )
    assert [x.text.split(" ")[0] for x in written] == ["[3697700.408345]", "nic", "[3697705.470151]", "just", "[3697778.781463]"]


def test_unquoted_tails_are_joined() -> None:
    text = "[  493.0103{0}] ice 0000:b8:00.0: Failed to get MSIX interrupt entry at\nindex {0}\n"
    joined = texts("".join(text.format(i) for i in range(10, 14)))
    assert joined == [f"[  493.0103{i}] ice 0000:b8:00.0: Failed to get MSIX interrupt entry at index {i}" for i in range(10, 14)]


def test_a_line_that_was_quoted_and_then_broken_has_tails_of_lesser_depth() -> None:
    found = unwrapped(
        "> > > > [  108.899188] e1000e 0000:00:06.0: Interrupt Throttling Rate\n"
        "> (ints/sec)\n"
        "> > > set to dynamic conservative mode\n"
        "> > > > [  108.926011] e1000e 0000:00:06.0: xen map irq failed -28 for\n"
        "32752\n"
        "> > > domain\n"
        "> > > > [  108.928161] xen:events: unmap irq failed -22\n"
    )
    assert found == [
        Logical(1, 3, "[  108.899188] e1000e 0000:00:06.0: Interrupt Throttling Rate (ints/sec) set to dynamic conservative mode"),
        Logical(4, 6, "[  108.926011] e1000e 0000:00:06.0: xen map irq failed -28 for 32752 domain"),
        Logical(7, 7, "[  108.928161] xen:events: unmap irq failed -22"),
    ]


@pytest.mark.parametrize("answer", ["> yes", "> yes, seen here too\n> with 6.1", "> yes\n>\n> > > > [  109.000000] more"])
def test_an_answer_below_a_quoted_line_is_no_tail(answer: str) -> None:
    log = "> > > > [  108.926011] e1000e 0000:00:06.0: xen map irq failed -28 for 32752 domain"
    quoted = log.removeprefix("> > > > ")
    assert texts(f"{log}\n{log}\n{answer}\n")[:3] == [quoted, quoted, answer.split("\n")[0].removeprefix("> ")]


def test_the_last_line_may_have_a_tail() -> None:
    text = "[    8.000000] ice 0000:41:00.0: not enough OS MSI-X vectors. requested = 65,\nobtained = 33\n"
    assert texts(text) == [text.strip().replace("\n", " ")]


@pytest.mark.parametrize(
    "other",
    ["[  OK  ] Started D-Bus.", "[\x1b[0;32m  OK  \x1b[0m] Started D-Bus.", "root@vm:~# modprobe vfio-pci", "vm login: root", "[  999.1"],
)
def test_what_a_console_shows_between_log_lines_is_no_tail(other: str) -> None:
    log = "[    8.000000] ice 0000:41:00.0: not enough OS MSI-X vectors. requested = 65,"
    assert texts(f"{log}\nobtained = 33\n{log.replace('8.', '9.')}\n{other}\n")[2] == other


def test_a_line_of_a_serial_console_may_begin_with_a_nul() -> None:
    assert texts(f"> {STAMPED}\n\0> {STAMPED}\n") == [STAMPED] * 2
    assert detect([f"\0{STAMPED}"] * 3) is None


def test_blanks_that_pad_lines_come_off() -> None:
    assert texts(f"{STAMPED}   \n{STAMPED} \r\n\n") == [STAMPED] * 2
    assert detect([STAMPED, STAMPED, f"{STAMPED} "]) is None


def test_prose_patches_and_other_logs_are_no_tails() -> None:
    log = "> [  493.010383] ice 0000:b8:00.0: Failed to get MSIX interrupt entry\n"
    for other in (
        "The next message comes after a minute or so.",
        "+	if (!domain)",
        "qemu-system-aarch64: vfio: Error: Failed",
        "[...]",
        "    indented",
    ):
        assert texts(f"{log}{log}> {other}\n")[2] == other


def test_tails_of_a_trace() -> None:
    line = "           <...>-3441924 [004] .... 1907374.583462:\nkvm_ioapic_set_irq: pin 2 dst 1 vec 209 (Fixed|logical|edge)\n"
    assert (
        texts(line * 3)[0]
        == "           <...>-3441924 [004] .... 1907374.583462: kvm_ioapic_set_irq: pin 2 dst 1 vec 209 (Fixed|logical|edge)"
    )


def test_syslog_and_printk_stamps_stay_together() -> None:
    line = "Dec 11 23:52:05 node-4 kernel: [183519.565000] pcieport 0000:80:03.2:\npciehp: Slot(14): Link Down\n"
    assert texts(line * 3) == [line.replace("\n", " ").strip()] * 3


def test_reflowed_paragraph_is_split_at_stamps() -> None:
    found = unwrapped(
        "> timeout, completion polled [   97.343446] nvme nvme0: I/O\n"
        "> 384 QID 3 timeout, completion polled [   97.343459] nvme\n"
        "> nvme0: I/O 385 QID 3 timeout, completion polled [   97.343470] nvme\n"
        "> nvme0: I/O 386 QID 3 timeout, completion polled\n"
    )
    assert found == [
        Logical(1, 0, "timeout, completion polled"),
        Logical(1, 1, "[   97.343446] nvme nvme0: I/O 384 QID 3 timeout, completion polled"),
        Logical(2, 2, "[   97.343459] nvme nvme0: I/O 385 QID 3 timeout, completion polled"),
        Logical(3, 4, "[   97.343470] nvme nvme0: I/O 386 QID 3 timeout, completion polled"),
    ]


def test_lines_cut_at_the_edge_of_a_terminal() -> None:
    records = [
        f"[    {i}.000000] ice 0000:b8:00.{i}: " + "a text that no terminal of eighty columns could show in one line" * 2 for i in range(4)
    ]
    records.append("[    5.000000] short")
    cut = [r[at : at + 80] for r in records for at in range(0, len(r), 80)]
    assert texts("\n".join(cut)) == records


def test_quoted_printable() -> None:
    found = unwrapped(
        "[  740.004937] AMD-Vi: Event logged [IO=\n_PAGE_FAULT device=3D02:00.0 domain=3D0x0000]\n"
        "[=C2=A0=C2=A0=C2=A0 6.638845] genirq: Flags mismatch irq 39. 00000084 (aer=\ndrv) vs.=20\n"
    )
    assert found[0] == Logical(1, 2, "[  740.004937] AMD-Vi: Event logged [IO_PAGE_FAULT device=02:00.0 domain=0x0000]")
    assert "genirq: Flags mismatch irq 39. 00000084 (aerdrv) vs." in found[-1].text


def test_quoted_printable_of_short_lines() -> None:
    assert texts("[    5.000226] nvme 0000:00:05.0: xen: msi --> pirq=3D101 --> irq=3D80\n[    6.000000] a=3Db\n") == [
        "[    5.000226] nvme 0000:00:05.0: xen: msi --> pirq=101 --> irq=80",
        "[    6.000000] a=b",
    ]


def test_quoted_printable_that_ends_in_soft_breaks() -> None:
    assert unwrapped("[    1.000000] a=3Db\n[    2.000000] c=3D=\nd=\ne=\n")[-1] == Logical(2, 4, "[    2.000000] c=de")


def test_quoted_printable_with_line_ends_of_its_own() -> None:
    assert unwrapped("[ =A0843.996111] irq 409: =\nnobody cared=0A=\n[  844.006265] Disabling IRQ #409=0D=0A=\nnot a tail") == [
        Logical(1, 2, "[  843.996111] irq 409: nobody cared"),
        Logical(3, 3, "[  844.006265] Disabling IRQ #409"),
        Logical(4, 4, "not a tail"),
    ]


def test_one_blank_at_the_end_of_a_log_line_is_quoted_printable() -> None:
    assert texts("[  844.006265] Disabling IRQ #409=20\n") == ["[  844.006265] Disabling IRQ #409"]
    assert detect(["[  844.006265] widget: timeout=20", "[  845.006265] widget: rate =20"]) is None


def test_equals_signs_are_not_all_printable() -> None:
    lines = ["[    1.000000] Command line: root=UUID=20 key=YWJj=", "[    2.000000] irq=24 vector=20 cpu=09", "[    3.000000] x="]
    assert detect(lines) is None


JOURNAL = {
    "_TRANSPORT": "kernel",
    "SYSLOG_IDENTIFIER": "kernel",
    "_HOSTNAME": "vmhost",
    "_BOOT_ID": "1" * 32,
    "__REALTIME_TIMESTAMP": "1690000000123456",
    "_SOURCE_MONOTONIC_TIMESTAMP": "3697700389188",
    "MESSAGE": "xen:events: text",
}
WRITTEN = "2023-07-22T04:26:40.123456+00:00 vmhost kernel: [3697700.389188] xen:events: text"


@pytest.mark.parametrize("form", ["json", "pretty", "sse", "seq"])
def test_journal_json(form: str) -> None:
    whole = json.dumps(JOURNAL)
    record = {"json": whole, "pretty": json.dumps(JOURNAL, indent=8), "sse": f"data: {whole}\n", "seq": f"\x1e{whole}"}[form]
    assert texts(f"{record}\n" * 3) == [WRITTEN] * 3


def test_journal_json_values() -> None:
    bytes_and_lines = {**JOURNAL, "MESSAGE": list("one\ntwo é".encode())}
    other = {**JOURNAL, "_TRANSPORT": "stdout", "_PID": "4321", "SYSLOG_IDENTIFIER": "qemu-kvm"}
    without_host = {k: v for k, v in JOURNAL.items() if k != "_HOSTNAME"}
    new_boot = {**JOURNAL, "_BOOT_ID": "2" * 32}
    found = texts("".join(json.dumps(r) + "\n" for r in (bytes_and_lines, other, without_host, new_boot)))
    assert found[0].endswith("[3697700.389188] one") and found[1].endswith("[3697700.389188] two é")
    assert found[2] == "2023-07-22T04:26:40.123456+00:00 vmhost qemu-kvm[4321]: xen:events: text"
    assert found[3] == "2023-07-22T04:26:40.123456+00:00 [3697700.389188] xen:events: text"
    assert found[4] == f"-- Boot {'2' * 32} --"


def test_dmesg_json() -> None:
    records = [{"pri": 6, "time": 12.345678, "msg": "a { brace"}, {"pri": 4, "time": 3697700.390188, "caller": "T123", "msg": "b"}]
    body = ",".join(
        "{\n         " + ",\n         ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in r.items()) + "\n      }" for r in records
    )
    found = texts('{\n   "dmesg": [\n      ' + body + "\n   ]\n}\n")
    assert found == ["<6>[   12.345678] a { brace", "<4>[3697700.390188][  T123] b"]
    decoded = texts('{"dmesg":[{"fac":"kern","pri":"info","time":   12.345678,"msg":"x"}]}\n')
    assert decoded == ["kern  :info  : [   12.345678] x"]


def test_docker_and_lava() -> None:
    docker = '{"log":"[   12.345678] x\\n","stream":"stderr","time":"2026-11-21T00:13:22.378012345Z"}\n'
    assert texts(docker * 2) == ["2026-11-21T00:13:22.378012345Z stderr F [   12.345678] x"] * 2
    lava = '- {"dt": "2023-09-14T12:00:00.123456", "lvl": "target", "msg": "[    0.000000] x"}\n'
    assert texts(lava * 2) == ["2023-09-14T12:00:00.123456 [    0.000000] x"] * 2


def test_journal_export_and_verbose() -> None:
    export = "".join(f"{k}={v}\n" for k, v in JOURNAL.items()) + "\n"
    assert texts(export * 2) == [WRITTEN] * 2
    blob = export.replace("MESSAGE=xen:events: text", "MESSAGE\n\x07\0\0\0\0\0\0\0one\ntwo")
    assert [t.split("] ")[1] for t in texts(blob + export)] == ["one", "two", "xen:events: text"]
    verbose = "Sat 2023-07-22 04:26:40.123456 UTC [s=5d;i=1;b=11;m=35;t=60;x=21]\n" + "".join(
        f"    {k}={v}\n" for k, v in JOURNAL.items() if not k.startswith("__")
    )
    assert texts(verbose * 2) == [WRITTEN] * 2


def test_journal_record_points_at_its_message() -> None:
    found = unwrapped("".join(f"{k}={v}\n" for k, v in JOURNAL.items()) + "\n")
    assert [(x.line, x.line_end) for x in found if x.text] == [(7, 7)]


def test_kmsg_records() -> None:
    found = unwrapped(
        "6,391,12444844,-;e1000e 0000:00:02.0 eth0: text\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:02.0\n"
        "12,396,14741462,-;line one\\x0aline two\n"
        "6,388,12330787,c,caller=T123;ACPI: \\x5c_SB_.GSIG: Enabled at IRQ 22\n"
        "6.12.1-host,12,434,20467157,-;with a release\n"
    )
    assert found == [
        Logical(1, 3, "<6>[   12.444844] e1000e 0000:00:02.0 eth0: text"),
        Logical(4, 3, "<12>[   14.741462] line one"),
        Logical(4, 4, "<12>[   14.741462] line two"),
        Logical(5, 5, "<6>[   12.330787][  T123] ACPI: \\_SB_.GSIG: Enabled at IRQ 22"),
        Logical(6, 6, "<12>[   20.467157] with a release"),
    ]


def test_netconsole_fragments() -> None:
    found = texts("12,439,21236604,-,ncfrag=0/8;BBBB\n12,439,21236604,-,ncfrag=4/8;CCCC\n6,440,21236605,-;next\n")
    assert found == ["<12>[   21.236604] BBBBCCCC", "<6>[   21.236605] next"]


def test_records_glued_on_the_wire() -> None:
    one, two = "<4>2026-11-21T00:13:22.378012+00:00 vm kernel: one", "<3>2026-11-21T00:13:22.390251+00:00 vm kernel: two"
    assert unwrapped(one + two + "\n") == [Logical(1, 0, one), Logical(1, 1, two)]


@pytest.mark.skipif(not CAPTURES.exists(), reason="captures are not here")
@pytest.mark.parametrize("name", ["export", "verbose", "json"])
def test_captured_journals(name: str) -> None:
    found = texts((CAPTURES / "envelopes" / f"journal-{name}.txt").read_text(errors="replace"))
    assert found[0].endswith("[3697700.389188] xen:events: creating evtchn using pirq 101 irq 290")
    assert found[2].endswith("] multi line") and found[3].endswith("] second line of same record")
    assert found[-1].endswith("vmhost qemu-kvm[4321]: vfio: failed to enable vectors, No space left on device")


def test_hostile_input_ends() -> None:
    for text in ("{" * 5000, '{"MESSAGE": "' + "x" * 1000, "MESSAGE\n" + "\0" * 7, "6,1,1,-,ncfrag=0/9;x", "=\n" * 100, "> " * 3000):
        wrapper = detect([text, '{"MESSAGE": "a"}', "__CURSOR=x", "_BOOT_ID=1", "6,1,1,-;x"])
        if wrapper:
            lines = text.split("\n")
            assert sum(x.line_end - x.line + 1 for x in [*wrapper.feed(lines, 1), *wrapper.close()]) == len(lines)
