"""Options that select diagnoses and known findings, on top of the configuration file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracekit.cli import status as cli_status
from tracekit.errors import UsageError

if TYPE_CHECKING:
    from tracekit.config.control import Control
    from tracekit.config.entries import Entry
    from tracekit.diagnosing.diagnoses import Diagnosis
    from tracekit.plugins.isolation import Isolation
    from tracekit.run import Run


def entries(
    config: str | None,
    select: Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
    severity: Sequence[str] | None = None,
    settings: Sequence[str] | None = None,
    baseline: str | None = None,
    fail_on: str | None = None,
) -> "list[Entry]":
    """Return what the file and the options say together. Errors: UsageError."""
    from tracekit.config import entries as written
    from tracekit.config import place

    path = place.found(Path.cwd()) if config is None else None if config == "none" else Path(config)
    file = [] if path is None else written.of_file(path)
    options = written.of_options(select or (), ignore or (), severity or (), settings or (), baseline, fail_on)
    return written.together(file, options)


def threshold(told: "Sequence[Entry]") -> "cli_status.Threshold | None":
    """Return from which grade and severity on a finding fails. Errors: UsageError."""
    given = next((e for e in told if e.key == "fail-on"), None)
    return cli_status.threshold(given.value, given.origin) if given else cli_status.threshold(cli_status.FAIL_ON)


def control(told: "Sequence[Entry]", diagnoses: "Sequence[Diagnosis]") -> "Control":
    """Resolve what was written, and read the baseline. Errors: UsageError; TracekitError where the baseline cannot be read."""
    from tracekit.config.control import Control

    if not told:
        return Control()
    baseline = next((e.value for e in told if e.key == "baseline"), None)
    return Control.of(told, diagnoses, _known(baseline) if baseline else frozenset())


def of_plugins(told: "Sequence[Entry]", isolation: "Isolation") -> "tuple[Control, tuple[str, ...]]":
    """Return what was written, resolved against the diagnoses of the plugins, and what plugins of others change about diagnoses.

    Plugins are loaded only where something was written, or where there are some of others. Errors: UsageError.
    """
    from importlib import metadata

    from tracekit.plugins import loose, registry
    from tracekit.plugins.isolation import is_ours

    if not told and not loose.points() and all(map(is_ours, metadata.entry_points(group=registry.GROUP))):
        return control(told, ()), ()
    loaded = registry.load(isolation=isolation)
    return control(told, loaded.diagnoses), tuple(loaded.changed)


def controlled(run: "Run", control: "Control") -> "Run":
    """Return a stored run under the current settings. Diagnoses are not run again."""
    from dataclasses import replace
    from datetime import date

    drawn = [run.picture(f) for f in run.findings]
    severe = control.severe(run.findings)
    found = [(f, p) for f, p in zip(severe, drawn, strict=True) if f.code not in control.left_out]
    kept, hidden = control.divided([f for f, _ in found], today := date.today())
    notes = tuple(control.notes({s.by for s in hidden}, today))
    pictures = tuple(next(p for mine, p in found if mine is f) for f in kept) if run.pictures else ()
    settings = tuple(dict.fromkeys((*run.settings, *notes)))
    return replace(run, findings=tuple(kept), pictures=pictures, suppressed=(*run.suppressed, *hidden), settings=settings)


def _known(place: str) -> frozenset[tuple[str, str, str]]:
    """Return the findings of a baseline by their keys. Errors: TracekitError."""
    import json

    from tracekit.batch.results import Results, is_results
    from tracekit.config.control import key

    columns = ("fingerprint", "machine", "kind", "subject", "bdf")
    if (run := _saved(Path(place))) is not None:
        return frozenset(key(f.fingerprint, f.machine, f.subject.kind, f.subject.label, f.subject.bdf) for f in run.findings)
    if is_results(place):
        return frozenset(key(*row) for row in Results(place).table("findings").select(columns).collect().iter_rows())
    try:
        found = json.loads(Path(place).read_bytes())["findings"]
        of = [(f["fingerprint"], f["machine"], f["entity"]["kind"], f["entity"]["label"], f["entity"]["bdf"]) for f in found]
    except OSError as e:
        raise UsageError(f"--baseline {place}: {e.strerror}") from e
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"--baseline {place}: give the results of a batch, or what `tracekit analyze` wrote with --save or --format json"
        ) from None
    return frozenset(key(*row) for row in of)


def _saved(path: Path) -> "Run | None":
    """Return a run that `tracekit analyze --save` wrote; nothing where the path is no compressed file. Errors: SourceError."""
    from tracekit import stored

    if not path.is_file():
        return None
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return stored.load(path) if compressed else None
