"""Logs in an object store: a server that speaks S3 on loopback, read by the command line as it stands."""

import io
import subprocess
import sys
import tarfile

import pytest

from tracekit.batch.results import Results

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("s3fs")
moto = pytest.importorskip("moto.server")

BOOT = "[    0.000000] Linux version 6.1.0 (x@y) (gcc 12) #1 SMP\n" + "".join(f"[{i:5d}.000000] usb 1-1: device {i}\n" for i in range(9))
FAULT = (
    "[  100.000001] DMAR: DRHD: handling fault status reg 2\n[  100.000001] DMAR: [INTR-REMAP] Request device [01:00.0] "
    "fault index 0x3000 [fault reason 0x22] Present field in the IRTE entry is clear\n"
)


@pytest.fixture
def store(monkeypatch):
    """A bucket `fleet` of an object store; the processes of a test find it by the environment."""
    pytest.importorskip("flask_cors")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    given = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any", "DEFAULT_REGION": "us-east-1"}
    for name, value in given.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3 = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    s3.mkdir("fleet")
    yield s3
    s3.rm("fleet", recursive=True)
    server.stop()


def tracekit(*args):
    done = subprocess.run([sys.executable, "-P", "-m", "tracekit", *args], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def archive(name, text):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz") as t:
        info = tarfile.TarInfo(name)
        info.size = len(text)
        t.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def test_an_archive_in_an_object_store(store):
    store.pipe("fleet/logs/host1.tar.xz", archive("dmesg", BOOT + FAULT))
    status, out, _ = tracekit("analyze", "s3://fleet/logs/host1.tar.xz", "--format", "json")
    assert status == 1
    assert "s3://fleet/logs/host1.tar.xz!dmesg" in out and "IRQ-003" in out


def test_a_file_and_a_bucket_that_are_not_there(store):
    for url in ("s3://fleet/nothing", "s3://elsewhere/x"):
        assert tracekit("analyze", url) == (2, "", f"tracekit: {url}: cannot be read: there is no such file\n")


@pytest.mark.parametrize("folder", ["s3://fleet/logs/", "s3://fleet/logs"])
def test_a_batch_over_a_folder_of_an_object_store(store, tmp_path, folder):
    for name, text in (("a.log", BOOT + FAULT), ("b.log", BOOT)):
        store.pipe(f"fleet/logs/{name}", text.encode())
    store.pipe("fleet/logs/deeper/c.log", BOOT.encode())
    results = str(tmp_path / "results")
    status, out, err = tracekit("batch", folder, "-o", results)
    assert (status, out.split(", in ")[0]) == (1, "2 cases analyzed, 1 with a fault, 0 failed, 0 unchanged")
    assert "s3://fleet/logs/deeper: is a folder in a remote store" in err
    assert tracekit("batch", folder, "-o", results)[1].startswith("0 cases analyzed, 0 with a fault, 0 failed, 2 unchanged")
    store.pipe("fleet/logs/b.log", (BOOT + FAULT).encode())
    assert tracekit("batch", folder, "-o", results)[1].startswith("1 case analyzed, 1 with a fault, 0 failed, 1 unchanged")
    found = Results(results).table("findings").select("case", "code").collect().rows()
    assert {case for case, code in found if code == "IRQ-003"} == {"s3://fleet/logs/a.log", "s3://fleet/logs/b.log"}


def test_what_a_list_names_and_the_store_does_not_have_fails_as_a_case(store, tmp_path):
    store.pipe("fleet/a.log", BOOT.encode())
    (tmp_path / "list.txt").write_text("s3://fleet/a.log\ns3://fleet/gone.log\n")
    results = str(tmp_path / "results")
    assert tracekit("batch", f"@{tmp_path}/list.txt", "-o", results)[1].startswith("1 case analyzed, 0 with a fault, 1 failed")
    failed = Results(results).table("failures").select("case", "reason").collect().rows()
    assert failed == [("s3://fleet/gone.log", "s3://fleet/gone.log: cannot be read: there is no such file")]
    status, _, err = tracekit("batch", "s3://fleet/gone.log", "-o", str(tmp_path / "others"))
    assert status == 2
    assert err.startswith("tracekit: s3://fleet/gone.log: cannot be read: there is no such file\n")
