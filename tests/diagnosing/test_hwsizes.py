"""The drgn script: its lines from objects that stand for the kernel's, and from a memory image read by drgn itself; what an analysis makes of them."""

import runpy
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import tracekit

from tracekit.diagnosing import hwsizes
from tracekit.diagnosing.recording import script
from tracekit.testing import findings, outcome, run, shape, tables

BANNER = "Linux version 6.12.0-1-amd64 (builder@host) #1 SMP\n"
TOKENS = {"DOMAIN_BUS_PCI_DEVICE_MSI": 15, "DOMAIN_BUS_PCI_DEVICE_MSIX": 16}


class Text:
    """A pointer to text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def string_(self) -> bytes:
        return self.text.encode()


def device(
    name: str, hwsize: int | None, token: int = 16, driver: str | None = "vfio-pci", msix_size: int = 0, on: int = 1, capability: int = 0xB0
) -> Any:
    """A `struct pci_dev` with a domain of its own, or none where the size is null."""
    domain = SimpleNamespace(bus_token=token, host_data=SimpleNamespace(hwsize=hwsize))
    data = SimpleNamespace(**{"__domains": [SimpleNamespace(domain=domain if hwsize is not None else None)]})
    bound = SimpleNamespace(name=Text(driver)) if driver else None
    own = SimpleNamespace(msix_size=msix_size) if msix_size else None
    dev = SimpleNamespace(kobj=SimpleNamespace(name=Text(name)), driver=bound, driver_data=own, msi=SimpleNamespace(data=data))
    return SimpleNamespace(dev=dev, msix_cap=capability, msix_enabled=on, msi_enabled=on)


def lines(*devices: Any, sysfs: Path | None = None, prog: Any = TOKENS) -> list[str]:
    return list(hwsizes.lines(prog, devices, lambda kind, pointer: pointer, sysfs))


def sysfs(folder: Path, **tables: int) -> Path:
    """Configuration spaces, each with an MSI-X capability at 0xb0 of a table of that size; 0: the device is gone."""
    for name, size in tables.items():
        (path := folder / "bus/pci/devices" / name.replace("_", ":").replace("f", ".")).mkdir(parents=True)
        config = bytearray(4096)
        config[0xB0:0xB4] = struct.pack("<BBH", 0x11, 0, 0x8000 | (size - 1)) if size else b"\xff\xff\xff\xff"
        (path / "config").write_bytes(config)
    return folder


def test_of_a_live_kernel_the_table_is_from_its_configuration_space(tmp_path: Path) -> None:
    space = sysfs(tmp_path, **{"0000_17_00f0": 16, "0000_18_00f0": 8, "0000_19_00f0": 0})
    told = lines(device("0000:17:00.0", 8), device("0000:18:00.0", 8, driver="mlx5_core", on=0), device("0000:19:00.0", 4), sysfs=space)
    assert told == [
        "tracekit-hwsize: 0000:17:00.0 MSI-X hwsize 8 table 16 (config) enabled driver vfio-pci; the irq domain is smaller than the table",
        "tracekit-hwsize: 0000:18:00.0 MSI-X hwsize 8 table 8 (config) disabled driver mlx5_core",
        "tracekit-hwsize: 0000:19:00.0 MSI-X hwsize 4 enabled driver vfio-pci",
    ]


def test_of_a_core_dump_it_is_what_vfio_pci_saw() -> None:
    told = lines(
        device("0000:17:00.0", 8, msix_size=256),
        device("0000:18:00.0", 8, driver="nvme", msix_size=256),
        device("0000:19:00.0", 0, driver=None),
    )
    assert told == [
        "tracekit-hwsize: 0000:17:00.0 MSI-X hwsize 8 table 16 (vfio-pci) enabled driver vfio-pci; the irq domain is smaller than the table",
        "tracekit-hwsize: 0000:18:00.0 MSI-X hwsize 8 enabled driver nvme",
        "tracekit-hwsize: 0000:19:00.0 MSI-X hwsize 0 enabled driver none",
    ]


def test_functions_without_a_domain_of_their_own_have_no_line(tmp_path: Path) -> None:
    bare = device("0000:00:03.0", 4)
    bare.dev.msi.data = None
    assert lines(bare, device("0000:00:01.0", None), device("0000:00:02.0", 4, token=9)) == []
    assert lines(device("0000:00:01.0", 4), prog={}) == []
    assert lines(device("0000:00:04.0", 1, token=15)) == ["tracekit-hwsize: 0000:00:04.0 MSI hwsize 1 enabled driver vfio-pci"]


def test_a_function_that_cannot_be_read_costs_itself(tmp_path: Path) -> None:
    told = lines(device("0000:17:00.0", 8), device("0000:18:00.0", 8), sysfs=sysfs(tmp_path, **{"0000_18_00f0": 8}))
    assert told[0].startswith("# 0000:17:00.0: cannot be read: ")
    assert told[1].startswith("tracekit-hwsize: 0000:18:00.0 ")


@pytest.mark.parametrize(("config", "size"), [(b"", 0), (bytes(0xB2), 0), (bytes(0xB4), 1)])
def test_a_configuration_space_that_was_cut_tells_nothing(config: bytes, size: int) -> None:
    assert hwsizes.of_config(config, 0xB0) == size
    assert hwsizes.of_config(config, 0) == 0


def told(*devices: Any) -> str:
    return BANNER + "# a core dump\n" + "".join(f"{line}\n" for line in lines(*devices))


def test_its_lines_are_rows() -> None:
    rows = tables(told(device("0000:17:00.0", 8, msix_size=256), device("0001:03:1f.7", 1, token=15, driver=None)))["irq_domain_hwsize"]
    assert rows.select("bdf", "kind", "hwsize", "entries", "origin", "state", "driver", "line").rows() == [
        ("0000:17:00.0", "MSI-X", 8, 16, "vfio-pci", "enabled", "vfio-pci", 3),
        ("0001:03:1f.7", "MSI", 1, None, None, "enabled", "none", 4),
    ]


@pytest.mark.parametrize(("hwsize", "table"), [(8, 16), (1, 2), (63, 2048)])
def test_a_domain_smaller_than_the_table_is_found_before_it_bites(tmp_path: Path, hwsize: int, table: int) -> None:
    live = BANNER + "\n".join(lines(device("0001:17:00.3", hwsize), sysfs=sysfs(tmp_path, **{"0001_17_00f3": table})))
    assert shape(findings(live)) == [("MSI-002", "proven", "0001:17:00.3", None, [2])]
    core = told(device("0001:17:00.3", hwsize, msix_size=16 * table))
    assert shape(findings(core)) == [("MSI-002", "probable", "0001:17:00.3", None, [3])]
    (f,) = findings(core)
    assert (f.summary, f.values) == (
        f"irq domain of 0001:17:00.3 has hwsize {hwsize}, the MSI-X table {table}",
        {"old_size": hwsize, "live": table},
    )
    assert len(f.unchecked) == 1


@pytest.mark.parametrize(("hwsize", "table"), [(16, 16), (64, 16), (0, 16)])
def test_sizes_that_agree_a_table_that_shrank_and_a_domain_without_limit_are_clear(hwsize: int, table: int) -> None:
    result = run(told(device("0000:17:00.0", hwsize, msix_size=16 * table)))
    assert [f.code for f in result.findings if f.grade] == []
    assert outcome(result, "MSI-002").outcome == "clear"


def test_where_no_table_is_known_nothing_is_said() -> None:
    result = run(told(device("0000:17:00.0", 8, driver="nvme"), device("0000:18:00.0", 1, token=15)))
    assert outcome(result, "MSI-002").outcome == "not evaluated"
    assert outcome(run(BANNER), "MSI-002").outcome == "not evaluated"


def test_lines_that_a_test_wrote_about_itself_are_no_rows() -> None:
    (line,) = lines(device("0000:17:00.0", 8, msix_size=256))
    noted = f"            bash-1       [000] .....     1.000000: tracing_mark_write: {line}\n"
    assert findings(noted) == []


def test_the_command_prints_a_program_and_recordings_run_it_where_drgn_is() -> None:
    program = tracekit("record", "hwsize", "--script").stdout
    assert program == Path(hwsizes.__file__).read_text(encoding="utf-8") == script("hwsize")
    compile(program, "hwsizes.py", "exec")
    assert "drgn -c vmcore -s vmlinux hwsizes.py > hwsizes.txt" in tracekit("record", "hwsize").stdout
    assert f"<<'END_OF_PROGRAM'\n{program}END_OF_PROGRAM\n" in script("stale-hwsize")
    assert "drgn" not in script("resize")


def image(drgn: Any) -> Any:
    """A program whose memory holds two functions on two buses: of the first the domain has 8 entries, vfio-pci saw a table of 16."""
    prog = drgn.Program(drgn.Platform(drgn.Architecture.X86_64))
    memory = bytearray(0x4000)
    base = 0xFFFF888000000000
    char = prog.int_type("char", 1, True)
    u16, u32, u64 = (prog.int_type(name, size, False) for name, size in (("u16", 2), ("u32", 4), ("u64", 8)))
    kinds: dict[str, Any] = {}

    def pointer(to: Any) -> Any:
        return prog.pointer_type(to)

    def make(tag: str, *members: tuple[str, Any]) -> Any:
        at, made = 0, []
        for name, kind in members:
            at = -(-at // 8) * 8
            made.append(drgn.TypeMember(kind, name, at * 8))
            at += drgn.sizeof(kind)
        kinds[tag] = prog.struct_type(tag, -(-at // 8) * 8, tuple(made))
        return kinds[tag]

    hole = pointer(prog.void_type())
    link = prog.struct_type(
        "list_head", 16, (drgn.TypeMember(lambda: drgn.Object(prog, pointer(link)), "next", 0), drgn.TypeMember(hole, "prev", 64))
    )
    kinds["list_head"] = link
    token = prog.enum_type("irq_domain_bus_token", u32, tuple(drgn.TypeEnumerator(n, v) for n, v in TOKENS.items()))
    make("msi_domain_info", ("flags", u32), ("hwsize", u32))
    domain = make("irq_domain", ("bus_token", token), ("host_data", hole))
    inner = make("msi_dev_domain", ("store", u64), ("domain", pointer(domain)))
    data = make("msi_device_data", ("properties", u64), ("__domains", prog.array_type(inner, 2)))
    info = make("dev_msi_info", ("domain", pointer(domain)), ("data", pointer(data)))
    kobject = make("kobject", ("name", pointer(char)))
    bound = make("device_driver", ("name", pointer(char)))
    dev = make("device", ("kobj", kobject), ("driver", pointer(bound)), ("driver_data", hole), ("msi", info))
    make("pci_dev", ("bus_list", link), ("msix_cap", u16), ("msix_enabled", u32), ("msi_enabled", u32), ("dev", dev))
    make("pci_bus", ("node", link), ("children", link), ("devices", link))
    make("vfio_pci_core_device", ("pdev", hole), ("msix_size", u16))
    taken = 64

    def put(value: bytes) -> int:
        nonlocal taken
        at = taken
        memory[at : at + len(value)] = value
        taken += -(-len(value) // 64) * 64
        return base + at

    def room(tag: str) -> int:
        return put(bytes(drgn.sizeof(kinds[tag])))

    def set_(address: int, tag: str, member: str, value: int, size: int = 8) -> None:
        at = address - base + drgn.offsetof(kinds[tag], member)
        memory[at : at + size] = value.to_bytes(size, "little")

    def chain(head: int, *links: int) -> None:
        ring = (head, *links)
        for here, then in zip(ring, (*links, head), strict=True):
            memory[here - base : here - base + 8] = then.to_bytes(8, "little")

    def function(name: str, hwsize: int) -> int:
        sizes, own_domain, held, device_, driver, vdev = map(
            room, ("msi_domain_info", "irq_domain", "msi_device_data", "pci_dev", "device_driver", "vfio_pci_core_device")
        )
        set_(sizes, "msi_domain_info", "hwsize", hwsize, 4)
        set_(own_domain, "irq_domain", "bus_token", TOKENS["DOMAIN_BUS_PCI_DEVICE_MSIX"], 4)
        set_(own_domain, "irq_domain", "host_data", sizes)
        set_(held, "msi_device_data", "__domains[0].domain", own_domain)
        set_(driver, "device_driver", "name", put(b"vfio-pci\0"))
        set_(vdev, "vfio_pci_core_device", "msix_size", 16 * 16, 2)
        set_(device_, "pci_dev", "msix_enabled", 1, 4)
        set_(device_, "pci_dev", "dev.kobj.name", put(name.encode() + b"\0"))
        set_(device_, "pci_dev", "dev.driver", driver)
        set_(device_, "pci_dev", "dev.driver_data", vdev)
        set_(device_, "pci_dev", "dev.msi.data", held)
        return device_

    roots, root, below = put(bytes(16)), room("pci_bus"), room("pci_bus")
    first, second = function("0000:17:00.0", 8), function("0000:18:00.0", 16)
    places = {m: drgn.offsetof(kinds["pci_bus"], m) for m in ("node", "children", "devices")}
    chain(roots, root + places["node"])
    chain(root + places["children"], below + places["node"])
    chain(root + places["devices"], first)
    chain(below + places["children"])
    chain(below + places["devices"], second)
    banner = put(BANNER.encode() + b"\0")
    prog.add_memory_segment(base, len(memory), lambda address, count, offset, physical: bytes(memory[offset : offset + count]))
    named = {"linux_banner": (prog.array_type(char, len(BANNER) + 1), banner), "pci_root_buses": (link, roots)}

    def objects(prog: Any, name: str, flags: Any, file: str | None) -> Any:
        if name in TOKENS:
            return drgn.Object(prog, token, TOKENS[name])
        return drgn.Object(prog, named[name][0], address=named[name][1]) if name in named else None

    prog.register_type_finder("image", lambda prog, k, name, file: kinds.get(name), enable_index=0)
    prog.register_object_finder("image", objects, enable_index=0)
    return prog


def test_drgn_itself_reads_a_memory_image(capsys: pytest.CaptureFixture[str]) -> None:
    drgn = pytest.importorskip("drgn")
    runpy.run_path(hwsizes.__file__, init_globals={"prog": image(drgn)}, run_name="__main__")
    assert capsys.readouterr().out == BANNER + (
        "# a core dump\n"
        "tracekit-hwsize: 0000:17:00.0 MSI-X hwsize 8 table 16 (vfio-pci) enabled driver vfio-pci; the irq domain is smaller than the table\n"
        "tracekit-hwsize: 0000:18:00.0 MSI-X hwsize 16 table 16 (vfio-pci) enabled driver vfio-pci\n"
    )
