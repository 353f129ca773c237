"""Values of a run: all that a report may print, without a second analysis."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tracekit.errors import UsageError
from tracekit.findings import Finding, Outcome
from tracekit.timeline import Picture, Timeline

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """Count lines that have the words of a fault and that no rule reads; show the one that looks most like a fault."""

    event: str  # the rule that they resemble, "" for none
    count: int
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class SourceReport:
    """The account of every line of one source: the counts of `classes` add up to `lines`."""

    path: str
    lines: int
    envelopes: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)  # by event name, captured or only counted
    classes: Mapping[str, int] = field(default_factory=dict)  # event, part-of-event, frame, text, not understood, rejected
    not_understood: tuple[NotUnderstood, ...] = ()
    clock: str = "none"  # what its stamps are, and how they relate to the case's
    notes: tuple[str, ...] = ()  # one clear line each: bad bytes, truncated archive, how to convert
    losses: tuple[str, ...] = ()  # the notes that say that lines are missing


@dataclass(frozen=True, slots=True)
class PluginReport:
    """A plugin of the run: its version, its parts, and its errors."""

    name: str
    version: str
    diagnoses: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()  # where errors were raised


@dataclass(frozen=True, slots=True)
class Doubt:
    """Say why "nothing wrong found" is not to be trusted."""

    kind: Literal["nothing evaluated", "cut", "unread", "plugin", "not understood"]
    text: str


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that the user keeps out of the report: `by` which setting, and the `reason` given there."""

    finding: Finding
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Given:
    """The input of the analysis as the caller gave it, so that it can be read again."""

    paths: tuple[str, ...]
    clocks: Mapping[str, int] = field(default_factory=dict)
    sides: Mapping[str, str] = field(default_factory=dict)


class Tables(dict[str, "pl.DataFrame"]):
    """The tables of a run. `tables[name]` of a table that was not kept reads the logs again."""

    given: Given | None = None

    def __missing__(self, name: str) -> "pl.DataFrame":
        if self.given is None:
            raise KeyError(name)
        return self.setdefault(name, _again("table", self.given, name))


@dataclass(frozen=True, slots=True)
class Run:
    """The result of one analysis."""

    sources: tuple[SourceReport, ...]
    findings: tuple[Finding, ...]
    outcomes: tuple[Outcome, ...]
    gates: tuple[Mapping[str, Any], ...] = ()
    plugins: tuple[PluginReport, ...] = ()
    errors: tuple[str, ...] = ()  # sources that could not be read, plugins that failed: one line each
    version: str = ""
    doubts: tuple[Doubt, ...] = ()  # why an all-clear is not to be trusted; none: the input was whole and known
    suppressed: tuple[Suppressed, ...] = ()  # findings that the user's settings keep out of `findings`
    settings: tuple[str, ...] = ()  # what to know of these settings: their file, what they leave out, what expired or matches nothing
    pictures: tuple[Picture | None, ...] = ()  # one per finding, only when asked for; None where there is too little to draw
    pages: Mapping[str, str] = field(default_factory=dict, repr=False)  # of the diagnoses with a finding, by code
    around: Mapping[str, Mapping[int, str]] = field(default_factory=dict, repr=False)  # lines by file, beside the pictures
    tables: Mapping[str, "pl.DataFrame"] = field(default_factory=dict, repr=False)  # those that were asked for
    given: Given | None = field(default=None, repr=False, compare=False)  # None where the logs cannot be read once more

    def picture(self, f: Finding) -> Picture | None:
        """Return the picture of a finding; None where none was asked for, or there is too little to draw."""
        return next((p for mine, p in zip(self.findings, self.pictures, strict=False) if mine is f), None)

    def timeline(self, device: str) -> Timeline | None:
        """Return the lanes of a device over time; `device`: a BDF or the name that reports print. None where there is too little to draw.

        Without a picture of a finding about it (`Options.pictures`) the logs are read once more. Errors: UsageError as for `whatif`.
        """
        about = (p for f, p in zip(self.findings, self.pictures, strict=False) if p and device in (f.subject.bdf, f.subject.label))
        return next((p.whole for p in about), None) or _again("timeline", self._given(), device)

    def whatif(self) -> list[Any]:
        """Replay the same stimuli once for each gate, with that gate alone flipped; return what each flip changes (`replay.whatif.Flip`).

        The logs are read once more. Errors: UsageError where the run does not know them: they were redacted, came from standard input, or
        the run was read from a file.
        """
        return list(_again("whatif", self._given()))

    def _given(self) -> Given:
        if self.given is None:
            raise UsageError("the logs of this run cannot be read once more: they were redacted, on standard input, or it is a saved run")
        return self.given

    def report(self, format: str = "terminal", **options: Any) -> str:
        """Return a report that is text, by the name that `--format` takes. `options`: width (int), color (bool), full (bool).
        Errors: UsageError."""
        return str(import_module("tracekit.reporting").report(self, format, options))

    def write(self, path: str | PathLike[str], format: str, **options: Any) -> None:
        """Write any report into a file. Errors: UsageError, OutputError."""
        import_module("tracekit.reporting").write(self, path, format, options)

    def _repr_html_(self) -> str:
        return str(import_module("tracekit.reporting").page(self))


def _again(question: str, given: Given, *about: str) -> Any:
    """Ask the pipeline something about logs that it reads once more."""
    pipeline = import_module("tracekit.pipeline")
    return getattr(pipeline, question)(*about, given.paths, pipeline.Options(clocks=given.clocks, sides=given.sides))


class Report(Protocol):
    """Write a run; `name` is what `--format` takes.

    A report with `draws = True` gets the pictures of the findings (`run.picture`). One with `binary = True` returns bytes, for a file.
    A report that also has a method `write_fleet(fleet, options) -> str` is offered by `tracekit report`; `fleet` is a `tracekit.Fleet`.
    """

    name: str

    def write(self, run: Run, options: Mapping[str, Any]) -> str | bytes:
        """Return the whole report, as text if it is not `binary`. `options`: width (int), color (bool), full (bool)."""
        ...
