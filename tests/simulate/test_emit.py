"""The lines of QEMU and of Xen's console that a scenario would print, and what an analysis finds in them alone."""

from pathlib import Path
from typing import Any

import pytest
from round_trip import engine, simulated

from tracekit.errors import TracekitError
from tracekit.simulate.settings import scenario
from tracekit.simulate.simulator import Parts

BDF = "0000:3d:00.0"
GROWS = {"devices": [{"table": [8, 16], "queues": 12}]}
NVME = {"name": "0000:00:05.0"}


def qemu(version: str, **tree: Any) -> dict[str, Any]:
    return {**GROWS, "client": {"version": version}, **tree}


def guest(kernel: str, devices: list[dict[str, Any]], client: str = "2.11", **host: Any) -> dict[str, Any]:
    return {"host": {"xen": "4.4", **host}, "client": {"version": client}, "guest": {"kernel": kernel}, "devices": devices}


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        (qemu("7.0"), {("VFIO-002", "probable", BDF), ("VFIO-003", "probable", BDF)}),
        (qemu("8.1"), {("VFIO-002", "probable", BDF), ("VFIO-003", "probable", BDF)}),
        (qemu("8.1", rebinds=[2]), {("VFIO-002", "probable", BDF)}),
        (qemu("10.1"), {("MSI-001", "possible", BDF), ("VFIO-004", "probable", BDF)}),
        (qemu("10.1", rebinds=[2]), set()),
        (qemu("8.2", host={"kernel": "6.1"}, devices=[{"table": [8]}]), {("VFIO-002", "probable", BDF)}),
        # The whole table at the enable, which is refused before 10.1 with a -1 and from it on with the errno: nothing had been enabled.
        (qemu("8.1", guest={"unmask": "before enable"}), set()),
        (qemu("10.1", guest={"unmask": "before enable"}), {("MSI-001", "possible", BDF)}),
        # No entry of the remapping table is left for the second function: its enable fails, and every one that follows.
        (
            qemu("8.2", host={"kernel": "6.1", "irtes": 1}, devices=[{"table": [1]}, {"name": "0000:05:00.0", "table": [4]}]),
            set(),
        ),
    ],
)
def test_lines_of_qemu(tree: dict[str, Any], found: set[tuple[str, str, str]], tmp_path: Path) -> None:
    _, findings = simulated(tree, tmp_path, ("qemu",))
    assert {(f.code, f.grade, f.subject.label) for f in findings} == found


def test_the_lines_are_those_of_qemu(tmp_path: Path) -> None:
    simulated(qemu("8.1", devices=[{"table": [1, 2]}]), tmp_path, ("qemu",))
    lines = (tmp_path / "qemu.txt").read_text().splitlines()
    assert lines[:7] + lines[-2:] == [
        "QEMU emulator version 8.1.0",
        "4211@1795220106.000002:vfio_msix_early_setup 0000:3d:00.0 PCI MSI-X CAP @0xb0, BAR 4, offset 0x0, entries 1",
        "4211@1795220106.000002:vfio_msix_vector_do_use  (0000:3d:00.0) vector 0 used",
        "4211@1795220106.000002:vfio_msix_pba_disable  (0000:3d:00.0)",
        "4211@1795220106.000310:vfio_msix_vector_release  (0000:3d:00.0) vector 0 released",
        "4211@1795220106.000310:vfio_msix_enable  (0000:3d:00.0)",
        "4211@1795220106.001312:vfio_msix_vector_do_use  (0000:3d:00.0) vector 0 used",
        "4212@1795220106.006005:vfio_msix_pba_disable  (0000:3d:00.0)",
        "2026-11-21T00:15:06.006146Z qemu-system-x86_64: vfio: failed to enable vectors, -1",
    ]


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("8.2", "vfio: failed to enable MSI-X, -1"),
        ("10.1", "vfio: failed to enable MSI-X, No space left on device"),
        ("8.1", "vfio: failed to enable vectors, -1"),
    ],
)
def test_an_enable_without_an_unmasked_vector_has_the_words_of_the_release(version: str, line: str, tmp_path: Path) -> None:
    simulated(qemu(version, host={"cpus": 1, "vectors": 0}, devices=[{"table": [2]}]), tmp_path, ("qemu",))
    said = [x.partition(": ")[2] for x in (tmp_path / "qemu.txt").read_text().splitlines() if "Z qemu-system" in x]
    assert said[0] == line


TWO: list[dict[str, Any]] = [
    {**NVME, "table": [1], "sessions": [1, 3]},
    {"name": "0000:00:06.0", "table": [1], "sessions": [2, 3], "reload": False},
]


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        (guest("4.9", TWO), {("XEN-001", "proven", "0000:00:05.0"), ("XEN-004", "proven", "0000:00:05.0")}),
        (guest("4.14", TWO), set()),
        (guest("4.14", [{**NVME, "table": [40]}]), {("XEN-002", "proven", "guest (0000:00:05.0)")}),
        (guest("4.14", [{**NVME, "table": [32]}]), set()),
        (guest("4.14", [{**NVME, "table": [4, 4, 4]}], "2.0"), {("XEN-003", "probable", "guest")}),
        (guest("4.14", [{**NVME, "table": [4, 4, 4]}], "2.1"), set()),
        (guest("4.14", [{**NVME, "table": [4, 4]}], event_channels=28), {("XEN-004", "proven", "0000:00:05.0")}),
    ],
)
def test_the_console_of_xen(tree: dict[str, Any], found: set[tuple[str, str, str]], tmp_path: Path) -> None:
    _, findings = simulated(tree, tmp_path, ("xen",))
    assert {(f.code, f.grade, f.subject.label) for f in findings} == found


def test_the_lines_are_those_of_xen(tmp_path: Path) -> None:
    simulated(guest("4.9", [{**NVME, "table": [1]}], pirqs=8, event_channels=26), tmp_path, ("xen",))
    assert (tmp_path / "xen.txt").read_text().splitlines() == [
        "(XEN) Xen version 4.4.0 (builder@example) (gcc (GCC) 12.2.0) debug=n",
        "(XEN) Command line: placeholder guest_loglvl=all extra_guest_irqs=8",
        "(XEN) IRQ limits: 24 GSI, 1640 MSI/MSI-X",
        "(d1) [    0.000000] Linux version 4.9 (builder@example) (gcc (GCC) 12.2.0) #1 SMP",
        "(d1) [    0.000000] Hypervisor detected: Xen HVM",
        "(d1) [    0.000000] Xen version 4.4.",
        "(d1) [    0.120000] xen:events: Using FIFO-based ABI",
        "(d1) [    0.120000] xen:events: Xen HVM callback vector for event delivery is enabled",
        "(d1) [  200.000001] nvme nvme0: pci function 0000:00:05.0",
        "(d1) [  200.000002] nvme 0000:00:05.0: xen: msi bound to pirq=31",
        "(d1) [  200.000003] nvme 0000:00:05.0: xen: msi --> pirq=31 --> irq=48",
        "(d1) [  200.000004] xen:events: Failed to obtain physical IRQ 48",
    ]


def test_the_lines_are_those_of_the_device_model(tmp_path: Path) -> None:
    simulated(guest("4.14", [{**NVME, "table": [2], "sessions": [1]}], "7.2", cpus=1, in_use=183) | {"sessions": 1}, tmp_path, ("dm",))
    assert (tmp_path / "dm.txt").read_text().splitlines() == [
        "QEMU emulator version 7.2",
        "[00:05.0] msi_msix_setup: requested pirq 55 for MSI-X (vec: 0, entry: 0)",
        "[00:05.0] msi_msix_update: Updating MSI-X with pirq 55 gvec 0 gflags 0 (entry: 0)",
        "[00:05.0] msi_msix_setup: requested pirq 54 for MSI-X (vec: 0, entry: 0x1)",
        "[00:05.0] msi_msix_setup: Error: Mapping of MSI-X (err: 22, vec: 0, entry 0x1)",
    ]


DOM0 = {"name": "0000:00:11.0", "driver": "host", "table": [9], "enables": [1, 3]}


@pytest.mark.parametrize(
    ("tree", "kind", "found"),
    [
        (guest("4.14", [{**NVME, "table": [2]}], "7.2", cpus=1, in_use=183), "dm", {("XEN-005", "proven", "guest's 00:05.0")}),
        (guest("4.14", [{**NVME, "table": [2, 2, 2]}], "7.2"), "dm", set()),
        (guest("4.14", [{**NVME, "table": [4, 4]}], "2.0"), "dm", {("XEN-003", "probable", "guest's 00:05.0")}),
        (
            guest("4.14", [DOM0], dom0_pirqs=2),
            "dom0",
            {("XEN-002", "probable", "dom0 (0000:00:11.0)"), ("XEN-007", "proven", "0000:00:11.0")},
        ),
        (guest("4.14", [DOM0], dom0_pirqs=3), "dom0", set()),
        (guest("4.14", [DOM0], cpus=1, in_use=184), "dom0", {("XEN-005", "proven", "0000:00:11.0")}),
    ],
)
def test_the_logs_around_a_guest_of_xen(tree: dict[str, Any], kind: str, found: set[tuple[str, str, str]], tmp_path: Path) -> None:
    _, findings = simulated(tree, tmp_path, (kind,))
    assert {(f.code, f.grade, f.subject.label) for f in findings} == found


def test_dom0_gives_back_what_a_refused_request_had_mapped(tmp_path: Path) -> None:
    told, _ = simulated(guest("4.14", [DOM0], dom0_pirqs=2) | {"rebinds": [2], "sessions": 2}, tmp_path, ("dom0",))
    assert told.guest == ("0000:00:11.0: dom0's driver has 0 vectors",)
    assert (tmp_path / "dom0.txt").read_text().splitlines()[6:10] == [
        "[  200.000001] nvme nvme0: pci function 0000:00:11.0",
        "[  200.000002] nvme 0000:00:11.0: xen map irq failed -28 for 32752 domain",
        "[  200.000003] xen:events: unmap irq failed -22",
        "[  200.000004] xen:events: unmap irq failed -22",
    ]


@pytest.mark.parametrize(
    ("tree", "kind", "told"),
    [
        (guest("4.9", [NVME]), "dmesg", "--emit dmesg: a guest of Xen has its lines in the console: --emit xen"),
        ({}, "xen", "--emit xen: set host.xen to a release of it"),
        ({"client": {"name": "kvmtool"}}, "qemu", "--emit qemu: the client is kvmtool, which prints nothing of that kind"),
    ],
)
def test_what_prints_nothing_of_a_kind_is_said(tree: dict[str, Any], kind: str, told: str) -> None:
    registry = engine().registry
    simulator, asked = registry.simulators[0](), scenario(tree)
    with pytest.raises(TracekitError, match=told):
        simulator.emit(simulator.run(asked, Parts(registry.machines, registry.gates)), asked, kind)
