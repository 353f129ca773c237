"""Systems: the machines of the other plugins composed, so that a recording's stimuli can be replayed with one gate flipped."""

from typing import TYPE_CHECKING

from tracekit import System, hookimpl

if TYPE_CHECKING:
    from tracekit import Simulator


@hookimpl
def tracekit_systems() -> list[type[System]]:
    """Return the systems: a passed-through device as it runs and as configured, a host's CPU vectors and remapping table, a Xen domain."""
    from tracekit_systems.configured_devices import Configured
    from tracekit_systems.host_vectors import HostVectors
    from tracekit_systems.kvmtool import KvmtoolDevice
    from tracekit_systems.masks import XenMasks
    from tracekit_systems.msi_vfio import MsiVfio
    from tracekit_systems.remapping import AmdTable, RemappingTable
    from tracekit_systems.xen import HvmPirqs, XenPirqs

    return [MsiVfio, KvmtoolDevice, Configured, HostVectors, RemappingTable, AmdTable, XenPirqs, HvmPirqs, XenMasks]


@hookimpl
def tracekit_simulators() -> "list[type[Simulator]]":
    """Return what runs a scenario forward."""
    from tracekit_systems.scenarios.simulator import Forward

    return [Forward]
