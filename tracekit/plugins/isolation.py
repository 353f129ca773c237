"""Isolation: which plugins run in a process of their own, and the limits of a call. It loads nothing heavy."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib import metadata

MODES = ("all", "foreign", "none")


@dataclass(frozen=True, slots=True)
class Isolation:
    """Say which plugins run in a process of their own, and what each call of such a process may take.

    `mode`: `all` plugins, the `foreign` ones (all that are not of the distribution tracekit), or `none`; `seconds`: what each model,
    diagnosis, system or report may take; `memory`: bytes that the process may hold.
    """

    mode: str = "foreign"
    seconds: float = 30.0
    memory: int = 1 << 30

    def holds(self, point: "metadata.EntryPoint") -> bool:
        """Return whether a plugin runs in a process of its own."""
        return self.mode == "all" or self.mode == "foreign" and not is_ours(point)

    def within(self, seconds: float) -> "Isolation":
        """Return limits for work that must be over in that time: a plugin that hangs leaves the rest its time."""
        return replace(self, seconds=min(self.seconds, seconds / 4))


IN_PROCESS = Isolation("none")


def is_ours(point: "metadata.EntryPoint") -> bool:
    """Return whether a plugin is of the distribution tracekit."""
    return point.dist is not None and _told(point.dist)[0] == "tracekit"


def version_of(point: "metadata.EntryPoint") -> str:
    """Return the version of a plugin's distribution; of one without, what its file says."""
    return _told(point.dist)[1] if point.dist else str(getattr(point, "version", "?"))


@lru_cache(maxsize=64)
def _told(distribution: "metadata.Distribution") -> tuple[str, str]:
    """Return name and version of a distribution, whose file is parsed anew each time that it is asked."""
    return distribution.name, distribution.version
