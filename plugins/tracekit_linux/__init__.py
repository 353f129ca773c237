"""Linux traces: calls from probes and function graphs, the devices they are about, the operations they perform, and the release's gates."""

from tracekit import Model, hookimpl


@hookimpl
def tracekit_models() -> list[type[Model]]:
    """The models of this plugin."""
    from tracekit_linux.calls.model import Calls
    from tracekit_linux.clocks import ClockRelations
    from tracekit_linux.gates import Gates
    from tracekit_linux.operations.model import Operations

    return [Calls, ClockRelations, Operations, Gates]
