"""Declare a lane: a function from a scene to what it shows of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tracekit.picture.scene import Scene
from tracekit.timeline import Lane


@dataclass(frozen=True, slots=True)
class LaneSource:
    """A registered lane. `order`: its rank from the top. `reads`: the tables that it takes rows from. `of`: names or codes of diagnoses."""

    function: Callable[[Scene], Iterable[Lane]]
    order: int
    reads: tuple[str, ...]
    about: tuple[str, ...]
    of: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the name of its function."""
        return self.function.__name__


def lane(
    order: int, reads: tuple[str, ...], about: tuple[str, ...] = ("pci", "unknown"), of: tuple[str, ...] = ()
) -> Callable[[Callable[[Scene], Iterable[Lane]]], LaneSource]:
    """Make a lane of a function. `about`: the kinds of subjects (pci, host, domain, unknown) in whose picture it stands.

    `of`: names or codes of the diagnoses whose pictures have it, also those of other plugins; without it all.
    """

    def wrap(function: Callable[[Scene], Iterable[Lane]]) -> LaneSource:
        return LaneSource(function, order, reads, about, of)

    return wrap
