"""The tokens of a command that redacts, and the file that keeps them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tracekit.errors import UsageError

if TYPE_CHECKING:
    from tracekit.redaction.tokens import Tokens


def map_file(wanted: bool, given: Path | None, output: Path | None) -> Path | None:
    """Return where the map is kept: where the user says, else beside the output. Errors: UsageError where nothing is redacted."""
    if not wanted:
        if given:
            raise UsageError("--redaction-map: give --redact too")
        return None
    return given or (output.with_name(f"{output.name}.redaction-map.json") if output else None)


def tokens(wanted: bool, kept: Path | None) -> "Tokens | None":
    """Return the tokens of a run that redacts, with those that a file keeps."""
    if not wanted:
        return None
    from tracekit.redaction.tokens import Tokens

    return Tokens.kept(kept)


def keep(told: "Tokens | None", kept: Path | None) -> None:
    """Write the map, and say where."""
    if told is not None and kept is not None:
        told.keep(kept)
        print(f"tracekit: {len(told.values):,} tokens; the map, for you alone: {kept}", file=sys.stderr)
