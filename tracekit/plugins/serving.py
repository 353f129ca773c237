"""The process of a plugin: it loads one plugin, and answers one request after another.

Its arguments: the number of the socket that it is asked over, the process that started it, and the plugin's entry point.
"""

import pickle
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from multiprocessing.connection import Connection
from typing import Any

import polars as pl

from tracekit.findings import Finding, Verdict
from tracekit.guard import message, trace
from tracekit.picture.scene import Scene
from tracekit.plugins import loose, registry
from tracekit.plugins.isolation import is_ours
from tracekit.plugins.plugin import Plugin
from tracekit.plugins.standins import Facts, facts
from tracekit.process import die_with
from tracekit.replay.gates import Gate
from tracekit.replay.inputs import Case, Parts
from tracekit.replay.whatif import Flip
from tracekit.timeline import Lane
from tracekit.written import sound

_MOST = 10_000  # findings of one diagnosis at one place


class Served:
    """One plugin and the requests to it; each method is one request."""

    def __init__(self, name: str, value: str, version: str) -> None:
        self.point = loose.point(name, value)
        self.plugin = Plugin(name, version)

    def load(self) -> Facts:
        """Import the plugin and call its hooks."""
        registry.into(self.plugin, self.point)
        return facts(self.plugin)

    def answers(self, number: int, asked: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> list[list[Finding | Verdict]]:
        """Call a diagnosis with each of the given tables."""
        diagnosis = self.plugin.diagnoses[number]
        return [self._counted(results) for results in diagnosis.answers(asked, settings)]

    def _counted(self, results: Sequence[Finding | Verdict]) -> list[Finding | Verdict]:
        if len(results) > _MOST:
            raise ValueError(f"it yielded more than {_MOST:,} findings")
        return list(results)

    def played(self, number: int, tables: Mapping[str, pl.DataFrame], streams: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
        """Run a model over every stream of the tables."""
        return [(name, frame) for name, frame in self.plugin.models[number].played(Parts([Case(tables, streams)]))]

    def flipped(self, number: int, tables: Mapping[str, pl.DataFrame], gates: Mapping[str, Gate]) -> Sequence[Flip]:
        """Flip the gates of a system, which may use the machines of tracekit and of its own plugin."""
        return self.plugin.systems[number].flipped({**self.plugin.machines, **_machines()}, tables, gates)

    def drawn(self, number: int, scene: Scene) -> list[Lane]:
        """Call a lane with a scene."""
        return list(self.plugin.lanes[number].function(scene))

    def written(self, number: int, method: str, value: Any, options: Mapping[str, Any]) -> str | bytes:
        """Have a report write a run or a fleet."""
        report = self.plugin.reports[number]
        return sound(report, getattr(report(), method)(value, options))


@cache
def _machines() -> Mapping[str, type]:
    """Return the machines of tracekit itself; a plugin that needs none does not load them."""
    return registry.load([p for p in metadata.entry_points(group=registry.GROUP) if is_ours(p)]).machines


def main() -> None:
    """Say that this process is there, then answer."""
    number, parent, *told = sys.argv[1:]
    die_with(int(parent))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(int(number))
    served = Served(*told)
    connection.send_bytes(b"ready")
    while True:
        try:
            serial, what, arguments = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        connection.send_bytes(_answer(served, serial, what, arguments))


def _answer(served: Served, serial: int, what: str, arguments: tuple[Any, ...]) -> bytes:
    """Do what was asked; whatever is raised is the answer then, an interrupt too: nobody but the plugin raises one here."""
    try:
        return pickle.dumps((serial, "told", getattr(served, what)(*arguments)), 5)
    except BaseException as error:
        return pickle.dumps((serial, "raised", (type(error).__name__, message(error), trace(error))), 5)
    finally:
        with suppress(BaseException):
            sys.stdout.flush()


if __name__ == "__main__":
    main()
