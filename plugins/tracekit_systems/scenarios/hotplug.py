"""A CPU of the host that goes offline or comes back, with the vectors that it has."""

from collections.abc import Iterable
from typing import Any

from tracekit import EBUSY, ENOSPC, Hotplug
from tracekit_systems.scenarios.world import World, vectors


def plug(world: World, runs: Iterable[Any], asked: Hotplug) -> None:
    """Take a CPU offline or bring it back.

    On x86 it stays where its vectors do not fit on the others, and the kernel warns where the reservations no longer do
    (arch/x86/kernel/apic/vector.c, lapic_can_unplug_cpu, since 4.15); the last one stays everywhere (kernel/cpu.c, cpu_down).
    """
    pool, cpu, name = world.vectors, asked.cpu, f"CPU {asked.cpu}"
    if pool.cpus[cpu].online == asked.online:
        return
    if asked.online:
        world.step(name, "comes back")
        _moved(runs, set(), set(pool.online(cpu, 0)))
    elif sum(c.online for c in pool.cpus.values()) == 1:
        world.step(name, "cannot go offline: it is the last one", str(EBUSY))
    elif (stuck := pool.stuck(cpu)) and world.gates.get("KV1", True):
        text = f"CPU {cpu} has {stuck[0]} vectors, {stuck[1]} available. Cannot disable CPU"
        world.step(name, "cannot go offline: its vectors do not fit on the others", f"{ENOSPC}: {text}")
        world.message("", text)
        world.fault("VEC-007", name)
    else:
        _offline(world, runs, cpu, name)
    if pool.cpus[cpu].online == asked.online:
        draw(world)
    world.measure()


def draw(world: World) -> None:
    """Draw how many CPUs are online."""
    online = sum(c.online for c in world.vectors.cpus.values())
    world.begin("CPUs", f"{online} {'CPU' if online == 1 else 'CPUs'}", "calm")


def _offline(world: World, runs: Iterable[Any], cpu: int, name: str) -> None:
    pool = world.vectors
    held = pool.cpus[cpu].allocated
    stopped = pool.offline(cpu)
    world.step(name, "goes offline", f"{vectors(held - len(stopped))} moved, {len(stopped)} shut down")
    if pool.reserved > pool.available and world.scenario.host.arch == "x86":
        world.message("", f"Reserved vectors {pool.reserved} > available {pool.available}. IRQ request may fail")
        world.fault("VEC-003", name)
    _moved(runs, set(stopped), set())


def _moved(runs: Iterable[Any], stopped: set[int], started: set[int]) -> None:
    for run in runs:
        run.moved(stopped, started)
