"""Systems: the machines of the other plugins composed, so that a recording's stimuli can be replayed with one gate flipped."""

from tracekit import System, hookimpl


@hookimpl
def tracekit_systems() -> list[type[System]]:
    """One passed-through device, as it runs and as it is configured; the pirqs of a Xen domain; the CPU vectors of a host."""
    from tracekit_systems.configuration import Configured
    from tracekit_systems.msi_vfio import MsiVfio
    from tracekit_systems.vectors import HostVectors
    from tracekit_systems.xen import XenPirqs

    return [MsiVfio, Configured, HostVectors, XenPirqs]
