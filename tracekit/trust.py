"""Decide whether "nothing wrong found" can be relied on: which parts of the input were not read or not understood."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tracekit.findings import Outcome
from tracekit.run import Doubt

if TYPE_CHECKING:
    from tracekit.run import PluginReport, SourceReport

NO_EVENTS = ("none", "other")  # how lines without an envelope are counted


def doubts(
    sources: Sequence["SourceReport"],
    outcomes: Sequence[Outcome],
    unread: Sequence[str],
    plugins: Sequence["PluginReport"],
    broken: Sequence[str] = (),
) -> tuple[Doubt, ...]:
    """Return why an all-clear of this run is not to be trusted; nothing where the input was complete and understood.

    `unread`: what could not be read, one line each; `broken`: grammars that could not be loaded.
    """
    asked = [o.outcome for o in outcomes if not o.code.startswith("OBS")]
    found = [_evaluated(sources, len(asked))] if set(asked) <= {"not evaluated"} else []
    found += [Doubt("cut", f"{s.path}: {loss}") for s in sources for loss in s.losses]
    found += [Doubt("unread", text) for text in unread]
    found += [Doubt("plugin", text) for text in (*(e for p in plugins for e in p.errors), *broken)]
    return (*found, *_not_understood(sources))


def _evaluated(sources: Sequence["SourceReport"], diagnoses: int) -> Doubt:
    if any(known(s) for s in sources):
        return Doubt("nothing evaluated", f"none of {diagnoses} diagnoses has the lines that it needs: nothing could be checked")
    return Doubt("nothing evaluated", "no line that tracekit knows: nothing could be checked")


def _not_understood(sources: Sequence["SourceReport"]) -> Iterator[Doubt]:
    for s in sources:
        if count := sum(n.count for n in s.not_understood):
            first = s.not_understood[0]
            told = f"{count} line{'s' if count > 1 else ''} with the words of a fault not understood"
            yield Doubt("not understood", f"{s.path}:{first.line}: {told}, for example: {first.text.strip()}")


def known(source: "SourceReport") -> bool:
    """Return whether a source holds an event or lines in an envelope: then it is a quiet log, not another kind of text."""
    return any(source.events.values()) or any(n for e, n in source.envelopes.items() if e not in NO_EVENTS)
