"""What a plugin may provide. Each hook is a function without arguments in the plugin's module, marked with `@tracekit.hookimpl`."""

from pathlib import Path

import pluggy

from tracekit.diagnosing.diagnoses import Diagnosis
from tracekit.diagnosing.extension import Extension
from tracekit.picture.lane import LaneSource
from tracekit.replay.gates import Gate

API = 1  # of what a plugin may import and provide; a module says `TRACEKIT_API = 1` for which one it is written
hookspec = pluggy.HookspecMarker("tracekit")
hookimpl = pluggy.HookimplMarker("tracekit")


@hookspec
def tracekit_grammars() -> list[Path]:  # type: ignore[empty-body]
    """Folders with `envelopes/` and `events/` of `.lark` files."""


@hookspec
def tracekit_models() -> list[type]:  # type: ignore[empty-body]
    """Subclasses of `tracekit.Model`; each replay makes its own objects of them."""


@hookspec
def tracekit_diagnoses() -> list[Diagnosis]:  # type: ignore[empty-body]
    """Functions decorated with `@tracekit.diagnosis`."""


@hookspec
def tracekit_extensions() -> list[Extension]:  # type: ignore[empty-body]
    """Extensions: other settings and more advice for diagnoses of other plugins."""


@hookspec
def tracekit_machines() -> dict[str, type]:  # type: ignore[empty-body]
    """Executable machines by their name in the MSI model (`MsiDomain`, `VfioDevice`, ...): what systems are composed of."""


@hookspec
def tracekit_gates() -> list[Gate]:  # type: ignore[empty-body]
    """Gates: behaviour that a release, an architecture or an interrupt parent has or has not."""


@hookspec
def tracekit_systems() -> list[type]:  # type: ignore[empty-body]
    """Subclasses of `tracekit.System`: compositions of machines that can be replayed with a gate flipped."""


@hookspec
def tracekit_simulators() -> list[type]:  # type: ignore[empty-body]
    """Subclasses of `tracekit.Simulator`: compositions of machines that run a scenario forward."""


@hookspec
def tracekit_lanes() -> list[LaneSource]:  # type: ignore[empty-body]
    """Functions decorated with `@tracekit.lane`: what the picture of a finding shows over time."""


@hookspec
def tracekit_reports() -> list[type]:  # type: ignore[empty-body]
    """Report classes: `name`, and `write(run, options) -> str`."""
