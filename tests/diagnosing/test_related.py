"""A guest's log beside its host's, both with their names: what looks across joins them by the side that was given, and by nothing else."""

from functools import cache
from pathlib import Path

import pytest

from tracekit import Finding
from tracekit.pipeline import Engine, Options, analyze

TOP = Path(__file__).parents[2] / "sample_traces"
ACROSS = {
    "vfio.lost-on-resize/fires-silent-until-polled": ("VFIO-001", "possible"),
    "vfio.shortage-blind/fires-guest-was-not-told": ("VFIO-008", "probable"),
    "kvmt.caplist-clobber/fires-offset-in-the-vendor-id": ("KVMT-001", "probable"),
    "kvmt.early-enable/fires-read-at-20-with-msix-on": ("KVMT-002", "possible"),
}


@cache
def engine() -> Engine:
    return Engine.load()


def named(top: Path, case: Path, hosts: tuple[str, ...], side: str = "guest", other: str = "") -> list[Finding]:
    """The findings of a case whose guest's log names `vm1`, and whose other logs lie in the folders of these hosts.

    With `other`, a second guest of that name is silent but for its banner.
    """
    guest = top / "nodes" / "vm1" / "messages"
    guest.parent.mkdir(parents=True, exist_ok=True)
    lines = (case / "guest-dmesg.txt").read_text(encoding="utf-8").splitlines()
    guest.write_text("".join(f"Nov 20 10:00:00 vm1 kernel: {line}\n" for line in lines), encoding="utf-8")
    for host in hosts:
        folder = top / "nodes" / host
        folder.mkdir(exist_ok=True)
        for log in case.iterdir():
            if log.name not in ("guest-dmesg.txt", "expected.toml"):
                (folder / log.name).write_bytes(log.read_bytes())
    sides = {str(guest): side}
    if other:
        quiet = top / "nodes" / other / "messages"
        quiet.parent.mkdir()
        quiet.write_text(f"Nov 20 10:00:00 {other} kernel: [    2.000000] nvme nvme0: pci function 0000:00:06.0\n", encoding="utf-8")
        sides[str(quiet)] = side
    return list(analyze([str(top)], Options(sides=sides), engine()).findings)


@pytest.mark.parametrize("name", ACROSS)
def test_a_named_guest_beside_its_only_host_is_looked_into(tmp_path: Path, name: str) -> None:
    code, grade = ACROSS[name]
    found = [f for f in named(tmp_path, TOP / name, ("hv1",)) if f.code == code]
    assert [(f.grade, f.machine) for f in found] == [(grade, "hv1")]


@pytest.mark.parametrize("name", ACROSS)
def test_with_two_hosts_nothing_says_whose_guest_it_is(tmp_path: Path, name: str) -> None:
    assert [f for f in named(tmp_path, TOP / name, ("hv1", "hv2")) if f.code == ACROSS[name][0]] == []


@pytest.mark.parametrize("name", ACROSS)
def test_with_two_guests_nothing_says_which_of_them_the_host_serves(tmp_path: Path, name: str) -> None:
    first = named(tmp_path / "1", TOP / name, ("hv1",))
    assert [f.machine for f in first if f.code == ACROSS[name][0]] == ["hv1"]
    found = named(tmp_path / "2", TOP / name, ("hv1",), other="vm2")
    assert [(f.code, f.machine) for f in found if f.code == ACROSS[name][0]] == []


def test_a_device_of_a_named_guest_is_no_function_of_its_host(tmp_path: Path) -> None:
    """What its driver found by polling is a consequence of the host's window, though the two number the function otherwise."""
    case = TOP / "vfio.lost-on-resize" / "fires-silent-until-polled"
    (f,) = [f for f in named(tmp_path / "1", case, ("hv1",)) if f.code == "IRQ-007"]
    assert (f.machine, f.subject.label, f.subject.bdf, f.subject.how) == (
        *("vm1", "nvme0", None),
        "the BDF is the guest's own; joined with the host by case only",
    )
    assert f.explained_by == "VFIO-001"
    (f,) = [f for f in named(tmp_path / "2", case, ("hv1", "hv2")) if f.code == "IRQ-007"]
    assert (f.subject.bdf is not None, f.explained_by) == (True, None)


LIBVIRT = """2026-11-20 09:59:00.000+0000: starting up libvirt version: 9.0.0, qemu version: 7.2.7, kernel: 6.1.0, hostname: {host}
LC_ALL=C \\
/usr/bin/qemu-system-x86_64 \\
-name guest={vm},debug-threads=on \\
-device '{{"driver":"{driver}","host":"0000:01:00.0","id":"hostdev0","bus":"pci.4","addr":"0x0"}}' \\
-msg timestamp=on
"""
PROXMOX = "/usr/bin/kvm -id 100 -name '{vm},debug-threads=on' -no-shutdown -device {driver},host=0000:01:00.0,id=hostpci0,bus=pci.0,addr=0x10 -m 4096\n"


@pytest.mark.parametrize("command", [LIBVIRT, PROXMOX])
@pytest.mark.parametrize(
    ("given", "related"),
    [
        ((("hv1", "vm1", "vfio-pci"), ("hv1", "vm2", "virtio-net-pci")), True),
        ((("hv1", "vm1", "vfio-pci"), ("hv2", "vm2", "vfio-pci")), True),
        ((("hv1", "vm1", "vfio-pci"), ("hv1", "vm2", "vfio-pci")), False),  # whose of the two a line is about nobody says
        ((("hv2", "vm1", "vfio-pci"),), False),
        ((("hv1", "web3", "vfio-pci"),), False),
    ],
)
def test_a_command_line_states_which_guest_has_a_device_of_the_host(
    tmp_path: Path, command: str, given: tuple[tuple[str, str, str], ...], related: bool
) -> None:
    name = "vfio.lost-on-resize/fires-silent-until-polled"
    for n, (host, vm, driver) in enumerate(given):
        log = tmp_path / "nodes" / host / f"qemu-{n}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(command.format(host=host, vm=vm, driver=driver), encoding="utf-8")
    found = named(tmp_path, TOP / name, ("hv1",), other="vm2")
    assert [f.machine for f in found if f.code == ACROSS[name][0]] == (["hv1"] if related else [])
