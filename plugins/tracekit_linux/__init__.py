"""Linux traces: calls from probes and function graphs, the devices they are about, the operations they perform, and the release's gates."""

from tracekit import Gate, Model, hookimpl


@hookimpl
def tracekit_models() -> list[type[Model]]:
    """Return the models of this plugin."""
    from tracekit_linux.calls.model import Calls
    from tracekit_linux.clocks import ClockRelations
    from tracekit_linux.gates.model import Gates
    from tracekit_linux.gates.platform import Platforms
    from tracekit_linux.operations.model import Operations

    return [Calls, ClockRelations, Operations, Platforms, Gates]


@hookimpl
def tracekit_gates() -> list[Gate]:
    """Return the gates of the kernel, of QEMU and of Xen's toolstack."""
    from tracekit_linux.gates.linux import LINUX
    from tracekit_linux.gates.qemu import QEMU
    from tracekit_linux.gates.xen import XEN

    return [*LINUX, *QEMU, *XEN]
