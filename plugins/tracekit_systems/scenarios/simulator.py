"""Run a scenario: functions behind VFIO, or an HVM guest of Xen, on one host."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import polars as pl

from tracekit import LARGEST_TABLE, VFIO_INTX, VFIO_MSI, Answer, Parts, Pool, Scenario, Signal, Simulator, TracekitError
from tracekit_systems.scenarios.dom0 import Dom0Run
from tracekit_systems.scenarios.emit import dmesg, ftrace
from tracekit_systems.scenarios.emit_qemu import qemu
from tracekit_systems.scenarios.emit_xen import device_model, dom0, xen
from tracekit_systems.scenarios.entries import Entries
from tracekit_systems.scenarios.function import CLASSES, FunctionRun
from tracekit_systems.scenarios.hostdriver import HostDriver
from tracekit_systems.scenarios.hotplug import draw, plug
from tracekit_systems.scenarios.hvm import HvmRun
from tracekit_systems.scenarios.like import TABLES, like
from tracekit_systems.scenarios.picture import timeline
from tracekit_systems.scenarios.setting import SWITCHES, gates_of
from tracekit_systems.scenarios.world import MS, World, name_of, vectors

FIRST_IRQ = 40
INTEL_ENTRIES, AMD_ENTRIES = 65536, 512
PLENTY = 1 << 40
MOST_CPUS = 8192  # arch/x86/Kconfig, NR_CPUS
MOST = 2_000_000  # vectors that are taken and given back
Run = FunctionRun | HostDriver
OF_XEN = ("xen", "dm", "dom0")
FEW = 0.9  # of the CPU vectors: where so many are taken, the next guest may get none


class Forward(Simulator):
    """Compose the machines of MSI, VFIO, vectors and pirqs."""

    name: ClassVar[str] = "forward"
    switches: ClassVar[tuple[str, ...]] = SWITCHES
    reads: ClassVar[tuple[str, ...]] = TABLES

    emits: ClassVar[tuple[str, ...]] = ("ftrace", "dmesg", "qemu", "xen", "dm", "dom0")

    def emit(self, answer: Answer, scenario: Scenario, kind: str) -> str:
        """Return the lines of a run. Errors: TracekitError where such a host, or client, prints none of that kind."""
        if bool(scenario.host.xen) != (kind in OF_XEN):
            what = "a guest of Xen has its lines in the console: --emit xen" if scenario.host.xen else "set host.xen to a release of it"
            raise TracekitError(f"--emit {kind}: {what}")
        return {"ftrace": ftrace, "dmesg": dmesg, "qemu": qemu, "xen": xen, "dm": device_model, "dom0": dom0}[kind](answer, scenario)

    def like(self, tables: Mapping[str, pl.DataFrame]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the settings that a log shows."""
        return like(tables)

    def branches(self, settings: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
        """Return the releases that no line tells: a host with one irq domain for all and one that adds in place, a client of each kind.

        Lines that show how they behave settle them too.
        """
        seen = {str(g).removeprefix("-") for g in settings.get("gates", ())}
        host, client = settings.get("host", {}), settings.get("client", {})
        found = {}
        if "kernel" not in host and not {"KV2", "KV4"} <= seen:
            found["host.kernel"] = ("6.1", "6.12")
        if not {"version", "policy", "name"} & client.keys() and "QV3" not in seen:
            found["client.version"] = ("8.1", "10.1")
        return found

    def run(self, scenario: Scenario, parts: Parts) -> Answer:
        """Return what a scenario leads to."""
        _bounded(scenario)
        scenario = _all_served(scenario)
        gates, assumed = gates_of(scenario, parts.gates, parts.flips)
        _served(scenario, gates)
        world = World(scenario, parts.machines, gates, parts.machines["VectorPool"](reserves=gates.get("KV1", True)))
        if scenario.host.xen:
            return _xen(world, assumed)
        others = _pools(world)
        if scenario.host.iommu == "amd" and world.entries is not None and not scenario.host.irtes:
            assumed += (f"the AMD IOMMU is taken to have {AMD_ENTRIES} entries a device; older kernels have 256",)
        runs = _functions(world)
        _schedule(world, runs)
        for session in range(1, scenario.last + 1):
            _session(world, runs, session)
        world.settle()
        guest = tuple(line for run in runs for line in _seen(run))
        for run in runs:
            run.end()
        faults = tuple(f for f in world.faults if not (f.code == "MSI-002" and _acute(world, f.subject)))
        signals = tuple(_signals(runs))
        return Answer(
            faults=faults,
            risks=_risks(world, runs),
            guest=guest,
            pools=tuple(_taken(world, others)),
            steps=tuple(world.steps),
            signals=signals,
            assumptions=assumed,
            gates=gates,
            timeline=timeline(world, faults, signals),
            events=tuple(world.events),
        )


def _bounded(scenario: Scenario) -> None:
    """Refuse what would run for minutes. Errors: TracekitError."""
    if any(size > LARGEST_TABLE for d in scenario.devices for size in d.table):
        raise TracekitError(f"devices.table: an MSI-X table has at most {LARGEST_TABLE} entries")
    if scenario.host.cpus > MOST_CPUS:
        raise TracekitError(f"host.cpus: Linux runs on at most {MOST_CPUS} CPUs")
    if sum(d.functions * d.wanted(n) ** 2 for d in scenario.devices for n in range(1, scenario.last + 1)) > MOST:
        raise TracekitError("too many vectors, functions and sessions for one run: ask about fewer of them (guest.count costs nothing)")


def _all_served(scenario: Scenario) -> Scenario:
    """Return what the client `vfio-user` stands for: QEMU, with every function behind a server."""
    if scenario.client.name != "vfio-user":
        return scenario
    devices = (replace(d, backend="vfio-user") if d.driver == "vfio" and d.backend == "vfio-pci" else d for d in scenario.devices)
    return replace(scenario, client=replace(scenario.client, name="qemu"), devices=tuple(devices))


def _served(scenario: Scenario, gates: Mapping[str, bool]) -> None:
    """Refuse what no such backend has. Errors: TracekitError."""
    client = scenario.client
    if scenario.host.xen and (beyond := [n for n in ("interrupts", "acts", "hotplug") if getattr(scenario, n)]):
        raise TracekitError(f"{', '.join(beyond)}: a guest of Xen is simulated without")
    if scenario.host.xen and any(d.backend != "vfio-pci" or d.kind not in ("msix", "msi") for d in scenario.devices):
        raise TracekitError("devices: under Xen, MSI and MSI-X of passed-through functions and of dom0 are simulated")
    for d in (d for d in scenario.devices if d.backend != "vfio-pci"):
        if d.driver != "vfio":
            raise TracekitError(f"devices.backend = {d.backend}: that is of a passed-through function, and {d.name} is the host's")
        if d.kind in ("intx", "ims") or d.intx:
            raise TracekitError(f"devices.kind: {d.backend} is simulated with MSI and MSI-X alone")
        if d.backend == "vfio-user" and not gates.get("QV5", False):
            raise TracekitError(
                f"devices.backend = vfio-user: {client.name} {client.version} has no vfio-user client; QEMU has it from 10.1 on"
            )


def _xen(world: World, assumed: tuple[str, ...]) -> Answer:
    """Run dom0's own drivers, and an HVM guest."""
    own = Dom0Run(world)
    run: HvmRun | None = None
    for session in range(1, world.scenario.last + 1):
        own.session(session)
        run = run or HvmRun(world, own.taken)
        run.session(session)
    return Answer(
        faults=tuple(world.faults),
        guest=(*own.seen(), *(f"{slot}: no interrupt; Linux counts it as started" for slot in sorted(run.deaf() if run else ()))),
        pools=tuple(Pool(name, taken, size) for name, (taken, size) in world.pools.items()),
        steps=tuple(world.steps),
        assumptions=assumed,
        gates=world.gates,
        timeline=timeline(world, world.faults),
        events=tuple(world.events),
    )


def _pools(world: World) -> int:
    """Set the host's pools up, and return the vectors that others hold: the host, and guests like this one."""
    host, guest = world.scenario.host, world.scenario.guest
    passed = [d for d in world.scenario.devices if d.driver == "vfio" and d.kind != "intx"]
    each = sum(d.functions * max(d.wanted(n) for n in range(1, world.scenario.last + 1)) for d in passed)
    size = host.vectors if host.arch == "x86" else PLENTY
    others = host.in_use + max(guest.count - 1, 0) * each
    evenly, more = divmod(others, max(host.cpus, 1))
    for cpu in range(host.cpus):
        taken = min(evenly + (cpu < more), size)
        world.vectors.online(cpu, size - taken, taken)
    if host.arch == "x86" and host.remapping:
        shared = host.iommu == "intel"
        world.entries = Entries(host.irtes or (INTEL_ENTRIES if shared else AMD_ENTRIES), shared)
        if host.iommu == "intel" and others:
            world.entries.held["other devices"] = (1 << others) - 1
    world.measure()
    return others


def _functions(world: World) -> list[Run]:
    runs: list[Run] = []
    for d in world.scenario.devices:
        kind = FunctionRun if d.driver == "vfio" else HostDriver
        for n in range(d.functions):
            runs.append(kind(world, d, name_of(d.name, n), FIRST_IRQ + LARGEST_TABLE * len(runs)))
    return runs


def _schedule(world: World, runs: list[Run]) -> None:
    """Put the interrupts that are asked about on the clock, what guests do by themselves, and CPUs that go and come."""
    for i in world.scenario.interrupts:
        run = _of(runs, i.device)
        if i.vector >= (size := _vectors(run)):
            raise TracekitError(f"interrupts.vector = {i.vector}: {_has(run, size)}")
        world.at(int(i.at * MS), partial(run.signal, i.vector))
    for act in world.scenario.acts:
        run = _of(runs, act.device)
        if act.vector >= (size := _vectors(run)):
            raise TracekitError(f"acts.vector = {act.vector}: {_has(run, size)}")
        world.acts.append((int(act.at * MS), partial(run.act, act)))
    if world.scenario.hotplug:
        draw(world)
    for h in world.scenario.hotplug:
        world.acts.append((int(h.at * MS), partial(plug, world, runs, h)))
    world.acts.sort(key=lambda a: a[0])


def _of(runs: list[Run], device: str) -> Run:
    return next((r for r in runs if device in ("", r.device.name)), runs[0])


def _vectors(run: Run) -> int:
    return 1 if run.index == VFIO_INTX else max(run.device.table)


def _has(run: Run, size: int) -> str:
    if run.index == VFIO_INTX:
        return f"{run.device.name} has one line, vector 0"
    return f"the table of {run.device.name} has {size} entries, the first is 0"


def _session(world: World, runs: list[Run], session: int) -> None:
    for run in runs:
        run.end()
    if session in world.scenario.rebinds:
        for run in runs:
            run.rebind()
    world.client("", "start")
    for run in runs:
        if run.device.used(session):
            run.begin(session)


def _seen(run: Run) -> Iterator[str]:
    """Yield what the guest sees of one function at the end, or the host of its own."""
    if isinstance(run, HostDriver):
        yield run.seen()
        return
    if run.vfio is None:
        return
    deaf, count = sorted(run.deaf()), len(run.wanted)
    if lost := sorted({s.vector for s in run.missed if s.vector in run.wanted}):
        maybe = all(s.fate != "lost" for s in run.missed)
        never = "may never come; its queue then" if maybe else "never comes; its queue"
        yield f"{run.name}: an interrupt of vector {_spans(lost)} {never} waits until the driver polls it"
    if deaf:
        told = "no write to a mask can fail, so its driver is not told"
        yield f"{run.name}: {count - len(deaf)} of {count} vectors interrupt; {_spans(deaf)} never: {told}"
    elif run.index == VFIO_INTX:
        yield f"{run.name}: its line interrupts"
    elif not run.told:
        yield f"{run.name}: the host grants {vectors(count)} and the driver is told: it takes fewer queues"
    elif not count:
        yield f"{run.name}: its driver has {CLASSES[run.index]} off"
    else:
        yield f"{run.name}: {f'all {count} vectors interrupt' if count > 1 else 'its vector interrupts'}"


def _spans(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _acute(world: World, subject: str) -> bool:
    return any(f.code == "MSI-001" and f.subject == subject for f in world.faults)


def _risks(world: World, runs: list[Run]) -> tuple[str, ...]:
    """Return what the configuration leads to on an occasion: windows at a growth, a shortage that the guest cannot learn of."""
    client, guest = world.scenario.client, world.scenario.guest
    found = set()
    taken, size = world.pools.get("CPU vectors", (0, None))
    if client.name == "program":  # no guest, and it knows what it has
        return ()
    for run in (r for r in runs if isinstance(r, FunctionRun) and r.index != VFIO_INTX):
        modern = bool(world.gates.get("QV3")) or client.name == "kvmtool"
        policy = "full" if client.name == "kvmtool" else client.policy if client.policy != "auto" else "dyn" if modern else "incr"
        made = world.machines["Configuration"](
            guest=guest.kind,
            reworked=modern and run.kernel.dynamic,
            policy=policy,
            dynamic=run.kernel.dynamic,
            device="MSI" if run.index == VFIO_MSI else "MSI-X",
            reservation=world.gates.get("KV1", True),
        )
        most = max(run.device.wanted(n) for n in range(1, world.scenario.last + 1))
        found |= {"CFG-001"} if most > 1 and made.growth() == "lossy" else set()
        if made.shortage() == "blind" and size is not None and taken >= FEW * size:
            found.add("CFG-002")
    return tuple(sorted(found))


def _taken(world: World, others: int) -> Iterator[Pool]:
    """Yield the worst moment of each pool; what others ask for counts even where it does not fit."""
    host = world.scenario.host
    beyond = max(others - host.cpus * host.vectors, 0) if host.arch == "x86" else 0
    for name, (taken, size) in world.pools.items():
        yield Pool(name, taken + (beyond if name == "CPU vectors" else 0), size)


def _signals(runs: list[Run]) -> Iterator[Signal]:
    """Yield what became of each interrupt that was asked about."""
    told = [(s, r) for r in runs for s in r.interrupts.signals]
    for s, r in sorted(told, key=lambda t: (t[0].at, t[1].name, t[0].vector)):
        late = None if s.until is None or s.fate == "delivered" else s.until - s.at
        line = r.index == VFIO_INTX
        yield Signal(s.at, r.name, None if line else s.vector, s.fate, "" if line and s.fate == "delivered" else s.why, late)
