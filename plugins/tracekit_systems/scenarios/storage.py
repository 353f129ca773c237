"""Interrupt message storage (IMS): whether a driver of the host, or of a guest, can have it."""

from typing import Any

from tracekit import VFIO_MSIX, release_of
from tracekit_systems.scenarios.world import World

FIRST, GONE = (6, 2), (6, 10)


def refusal(world: World, guest: bool, reworked: bool) -> str:
    """Return why there is none, empty where there is.

    Linux had it for PCI from 6.2 to 6.9 (pci_create_ims_domain; taken back by b966b1102871), below Intel's and AMD's interrupt remapping.
    A guest needs an interface to ask its host (kind b), which no hypervisor has yet, and a client that adds vectors in place (`reworked`).
    """
    host, kind = world.scenario.host, world.scenario.guest.kind
    if guest and kind != "b":
        return "the host does not answer" if kind == "c" else "the guest has no interface to ask the host"
    if guest and not reworked:
        return "the client takes vectors down to add one"
    if not FIRST <= release_of(host.kernel)[:2] < GONE:
        return f"Linux {host.kernel} has none, it was in 6.2 to 6.9"
    if host.arch != "x86" or not host.remapping:
        return "there is no interrupt remapping that has it"
    return ""


def store(kernel: Any, count: int) -> int:
    """Take vectors from a device's message storage, which no table limits, and return how many there are."""
    world = kernel.world
    left = [world.entries.left(kernel.name)] if world.entries is not None else []
    got = max(int(min([count, world.vectors.available, *left])), 0)
    kernel.interrupts.enable(VFIO_MSIX)
    kernel.interrupts.unmask_function()
    for v in range(got):
        world.vectors.allocate(kernel.irq + v)
        world.vectors.activate(kernel.irq + v)
        kernel.interrupts.attach(v)
    if world.entries is not None:
        world.entries.take(kernel.name, got)
    return got
