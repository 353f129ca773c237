import bz2
import gzip
import io
import lzma
import random
import sys
import tarfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tracekit.errors import SourceError
from tracekit.pipeline import Options, analyze
from tracekit.reading import bundle
from tracekit.reading.bundle import Log
from tracekit.testing import shape

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SOS = "sosreport-node7-03912345-2026-11-20-abcdefg/"


@pytest.mark.parametrize(
    "name",
    [
        SOS + "sos_commands/kernel/dmesg",
        SOS + "sos_commands/logs/journalctl_--no-pager_--catalog_--boot_-1",
        SOS + "sos_commands/pci/lspci_-nnvv",
        SOS + "proc/interrupts",
        SOS + "proc/cmdline",
        SOS + "var/log/messages-20261101.xz",
        SOS + "var/log/libvirt/qemu/guest1.log",
        SOS + "sos_commands/xen/xl_dmesg",
        "scc_host1_261120_1200/messages.txt",
        "scc_host1_261120_1200/hardware.txt",
        "bug-report-20261120120000/xl-dmesg.out",
        "bug-report-20261120120000/var/log/kern.log.1",
        "must-gather.local.1/quay-io-x/nodes/worker-0/lspci",
        "must-gather.local.1/quay-io-x/nodes/worker-0/proc_cmdline",
        "must-gather.local.1/quay-io-x/host_service_logs/masters/kubelet_service.log",
        "dmesg.txt",
        "a/b/whatever",
        "sosreport-node7-03912345-2026-11-20-abcdefg.tar.xz",
        "sosreport-node7-03912345-2026-11-20-abcdefg-obfuscated.tar.xz.gpg",
        "upload/scc_host1_261120_1200.txz",
        "nts_host1_261120_1200.tbz",
        "bug-report-20261120120000.tar.bz2",
        "must-gather.tar.gz",
        "sos-collector-case1/sosreport-db1-2026-11-20-abc.tar.xz",
    ],
)
def test_logs_of_bundles_and_of_other_folders(name):
    assert bundle.is_log(name)


@pytest.mark.parametrize(
    "name",
    [
        SOS + "etc/fstab",
        SOS + "installed-rpms",
        SOS + "sos_commands/rpm/package-data",
        "scc_host1_261120_1200/rpm.txt",
        "sosreport-node7-03912345-2026-11-20-abcdefg.tar.xz.sha256",
        "scc_host1_261120_1200.txz.md5",
        SOS + "sos_commands/podman/images.tar.gz",
        "must-gather.local.1/namespaces/x/core/events.yaml",
        "README.md",
        "src/irq.c",
        "notes/README",
    ],
)
def test_what_is_no_log(name):
    assert not bundle.is_log(name)


def test_machines_are_told_only_where_there_are_several():
    a, b = "mg/nodes/worker-0/dmesg", "mg/nodes/worker-1/dmesg"
    assert bundle.machines([a, b, "mg/version"]) == {a: "worker-0", b: "worker-1"}
    assert bundle.machines([a]) == {}


def test_sosreports_in_one_archive_are_machines():
    a, b = (f"x.tar!sosreport-{h}-0391-2026-11-20-abc.tar.xz!dmesg" for h in ("db1", "db2"))
    assert bundle.machines([a, b]) == {a: "db1", b: "db2"}


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("var/log/messages-20261101.xz", "var/log/messages"),
        ("kern.log.2.gz", "kern.log"),
        ("x.tar!dmesg.old", "x.tar!dmesg"),
        ("dmesg", "dmesg"),
        ("trace-300.txt", "trace-300.txt"),
        ("syslog-20261101-120000", "syslog"),
    ],
)
def test_stems(path, stem):
    assert bundle.stem(path) == stem


def logs(*named):
    return [Log(path, head, mtime) for path, head, mtime in named]


def order(*named):
    return [[log.path for log in s] for s in bundle.series(logs(*named))]


def test_rotated_by_number_without_stamps():
    assert order(("kern.log", "", 0), ("kern.log.2.gz", "", 0), ("kern.log.1", "", 0), ("other", "", 0)) == [
        ["kern.log.2.gz", "kern.log.1", "kern.log"]
    ]


def test_rotated_by_date_without_stamps():
    assert order(("m", "", 0), ("m-20261115", "", 0), ("m-20261101.xz", "", 0)) == [["m-20261101.xz", "m-20261115", "m"]]


def test_the_order_of_the_content_wins_over_the_names():
    one = "Nov 20 10:00:00 h kernel: x\n"
    two = "Nov 21 10:00:00 h kernel: x\n"
    assert order(("k.log", one, 0), ("k.log.1", two, 0)) == [["k.log", "k.log.1"]]


def test_december_comes_before_january():
    old, new = "Dec 31 23:00:00 h kernel: x\n", "Jan  1 00:10:00 h kernel: x\n"
    january = 1_767_312_000  # 2026-01-02
    assert order(("k.log", new, january), ("k.log.1", old, january)) == [["k.log.1", "k.log"]]


def test_stamps_since_boot_order_parts_of_one_boot():
    assert order(("t.log.1", "[   10.5] x\n", 0), ("t.log.2", "[  500.1] x\n", 0)) == [["t.log.1", "t.log.2"]]


def test_dmesg_of_the_boot_before_comes_first():
    boot = "[    0.000000] Linux version 6.1\n"
    assert order(("dmesg", boot, 0), ("dmesg.0", boot, 0)) == [["dmesg.0", "dmesg"]]


FAULT = (
    "[  100.000000] DMAR: DRHD: handling fault status reg 2\n[  100.000001] DMAR: [INTR-REMAP] Request device [01:00.0] "
    "fault index 0x3000 [fault reason 0x22] Present field in the IRTE entry is clear\n"
)
BOOT = "".join(f"[{i:5d}.000000] usb 1-1: device {i}\n" for i in range(50))


def packed(folder, members, name="case.tar.gz"):
    path = folder / name
    with tarfile.open(path, "w:gz") as t:
        for member, text in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(text.encode())
            t.addfile(info, io.BytesIO(text.encode()))
    return str(path)


def test_members_are_sources_and_evidence_is_read_again(tmp_path):
    path = packed(tmp_path, {SOS + "sos_commands/kernel/dmesg": BOOT + FAULT, SOS + "etc/fstab": FAULT, SOS + "installed-rpms": FAULT})
    run = analyze([path])
    dmesg = f"{path}!{SOS}sos_commands/kernel/dmesg"
    assert [s.path for s in run.sources] == [dmesg]
    found = [f for f in run.findings if f.code == "IRQ-003"]
    assert [(e.source, e.line) for e in found[0].evidence if "INTR-REMAP" in e.text] == [(dmesg, 52)]
    assert run.sources[0].notes == (f"of {path} some members were not read: 2 no log by its name",)


def test_a_folder_and_its_archive_give_the_same(tmp_path):
    members = {SOS + "sos_commands/kernel/dmesg": BOOT + FAULT, SOS + "var/log/messages": BOOT, SOS + "etc/fstab": FAULT}
    for name, text in members.items():
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).write_text(text)
    folder, archive = str(tmp_path / "f"), packed(tmp_path, members)
    one, other = analyze([folder]), analyze([archive])
    assert [s.path.removeprefix(folder + "/") for s in one.sources] == [s.path.removeprefix(archive + "!") for s in other.sources]
    assert shape(one.findings) == shape(other.findings) != []


def test_large_members_are_read_again_from_the_archive(tmp_path, monkeypatch):
    monkeypatch.setattr("tracekit.reading.archive.KEPT_EACH", 100)
    members = {"b.log": BOOT + FAULT, "a.log": BOOT * 20 + FAULT.replace("01:00.0", "02:00.0")}
    run = analyze([packed(tmp_path, members)])
    texts = {e.source.split("!")[1]: e.text for f in run.findings for e in f.evidence if "INTR-REMAP" in e.text}
    assert ("01:00.0" in texts["b.log"], "02:00.0" in texts["a.log"]) == (True, True)


def test_a_truncated_archive_gives_what_came_before(tmp_path):
    noise = random.Random(1).randbytes(200_000).hex()
    path = Path(packed(tmp_path, {"dmesg": BOOT + FAULT, "messages": noise}))
    path.write_bytes(path.read_bytes()[:100_000])
    run = analyze([str(path)])
    assert "IRQ-003" in [f.code for f in run.findings]
    assert any("damaged or ends early" in e for e in run.errors)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd.compress])
def test_a_bomb_is_cut_where_it_expands_too_much_and_its_lines_until_then_count(tmp_path, monkeypatch, pack):
    monkeypatch.setenv("TRACEKIT_MAX_RATIO_AFTER", "1M")
    bomb, good = tmp_path / "bomb.gz", tmp_path / "good.log"
    bomb.write_bytes(pack(BOOT.encode() * 100 + bytes(30 << 20)))
    good.write_text(BOOT + FAULT)
    run = analyze([str(bomb), str(good)])
    message = "expands to more than 200 times its size; if you trust it, raise the limit TRACEKIT_MAX_RATIO; what was unpacked until then was read"
    assert [(s.path, s.lines >= 5000, message in s.losses) for s in run.sources] == [(str(bomb), True, True), (str(good), False, False)]
    assert [d.kind for d in analyze([str(bomb)]).doubts] == ["cut"]


def test_an_archive_without_a_log_says_what_is_in_it(tmp_path):
    with pytest.raises(SourceError, match=r"holds no log \(1 empty, 1 is not text, 1 no log by its name\)"):
        analyze([packed(tmp_path, {"README.md": "x", "dmesg": "", "core": "\x01\x02\x03" * 100})])


def test_a_remote_file_is_read_as_a_local_one(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    archive = Path(packed(tmp_path, {"dmesg": BOOT + FAULT}))
    memory = fsspec.filesystem("memory")
    memory.pipe("/logs/case.tgz", archive.read_bytes())
    memory.pipe("/logs/dmesg.txt", (BOOT + FAULT).encode())
    for url, source in (("memory://logs/case.tgz", "memory://logs/case.tgz!dmesg"), ("memory://logs/dmesg.txt", "memory://logs/dmesg.txt")):
        run = analyze([url])
        assert [s.path for s in run.sources] == [source]
        assert "IRQ-003" in [f.code for f in run.findings]


def rotated(folder, names, pack=lambda b: b):
    """One day's syslog of host1 in each file, the fault on the second day, a boot on the third."""
    for day, name in enumerate(names, 1):
        told = [*FAULT.splitlines()] if day == 2 else ["x"]
        lines = [f"[{day * 1000 + i:5d}.000000] usb 1-1: device {i}" for i in range(5)]
        if day == 3:
            lines = ["[    0.000000] Linux version 6.1.0 (x@y) (gcc 12) #1 SMP", *lines]
        text = "".join(f"Nov {10 + day:2d} 10:00:00 host1 kernel: {line}\n" for line in [*lines, *told])
        (folder / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


def test_a_rotated_log_is_one_source_and_evidence_names_the_part(tmp_path):
    rotated(tmp_path, ["messages-20261111.gz", "messages-20261112", "messages"])
    run = analyze([str(tmp_path)], Options(keep_tables=("kernel_version", "remap_fault_request")))
    assert [(s.path, s.lines) for s in run.sources] == [(f"{tmp_path}/messages", 6 + 7 + 7)]
    assert run.sources[0].notes == ("read as one log: messages-20261111.gz, messages-20261112, messages",)
    found = next(f for f in run.findings if f.code == "IRQ-003")
    cause = next(e for e in found.evidence if "INTR-REMAP" in e.text)
    assert (cause.source, cause.line, cause.line_end) == (f"{tmp_path}/messages-20261112", 7, None)
    assert run.tables["kernel_version"].select("source", "line", "boot").rows() == [(f"{tmp_path}/messages", 1, 1)]


def test_rotation_does_not_join_what_may_be_several_hosts(tmp_path):
    for name in ("node.1", "node.2"):
        (tmp_path / name).write_text(BOOT)
    assert [s.path for s in analyze([str(tmp_path)]).sources] == [f"{tmp_path}/node.1", f"{tmp_path}/node.2"]


def test_a_part_that_cannot_be_read_leaves_the_others(tmp_path):
    rotated(tmp_path, ["messages-20261111.gz", "messages-20261112", "messages"])
    whole = (tmp_path / "messages-20261111.gz").read_bytes()
    (tmp_path / "messages-20261111.gz").write_bytes(whole[:-20])
    run = analyze([str(tmp_path)])
    assert "IRQ-003" in [f.code for f in run.findings]
    assert any(n.startswith(f"{tmp_path}/messages-20261111.gz: the data end early or are damaged") for n in run.sources[0].notes)


def test_files_of_several_nodes_keep_apart(tmp_path):
    members = {
        f"must-gather/nodes/{n}/dmesg": "[    0.000000] Linux version 6.1.0 (x@y) (gcc 12) #1 SMP\n" + BOOT + FAULT for n in ("w0", "w1")
    }
    run = analyze([packed(tmp_path, members)], Options(keep_tables=("kernel_version",)))
    assert run.tables["kernel_version"]["machine"].to_list() == ["w0", "w1"]


@pytest.fixture
def web(tmp_path):
    """The address of a web server over a folder."""
    pytest.importorskip("aiohttp")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_archives_behind_http(tmp_path, web):
    pytest.importorskip("fsspec")
    packed(tmp_path, {"dmesg": BOOT + FAULT})
    with zipfile.ZipFile(tmp_path / "case.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("dmesg", BOOT + FAULT)
    for name in ("case.tar.gz", "case.zip"):
        run = analyze([f"{web}/{name}"])
        assert [s.path for s in run.sources] == [f"{web}/{name}!dmesg"]
        assert any("INTR-REMAP" in e.text for f in run.findings for e in f.evidence)
    with pytest.raises(SourceError, match=f"{web}/nothing: cannot be read: "):
        analyze([f"{web}/nothing"])
