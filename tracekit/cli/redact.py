"""The command redact."""

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from tracekit.cli import options as cli_options
from tracekit.cli.output import complain
from tracekit.cli.redaction import keep, map_file
from tracekit.errors import SourceError, UsageError
from tracekit.written import whole

if TYPE_CHECKING:
    from tracekit.reading.source import Source
    from tracekit.redaction.redactor import Redactor


def redact(
    paths: Annotated[list[str], typer.Argument(metavar="LOG...", help="Logs, folders, archives, - for standard input.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="A file; a folder where there are several logs.")
    ] = None,
    redaction_map: cli_options.Map = None,
    plugins: cli_options.Plugins = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")] = False,
) -> None:
    """Copy logs with tokens in place of MAC and IP addresses, hosts, users, domains, serial numbers, UUIDs, WWNs, paths below a home.

    BDFs, vectors, pirqs, MSI addresses, times and releases stay, and so do findings and their lines. The map is kept beside OUT.
    """
    from tracekit.pipeline import Engine
    from tracekit.plugins.isolation import Isolation
    from tracekit.reading.source import Series, discover
    from tracekit.redaction.redactor import safe_name
    from tracekit.redaction.tokens import Tokens

    kept = map_file(True, redaction_map, output)
    tokens = Tokens.kept(kept)
    found, errors = discover(paths)
    for error in errors:
        complain(str(error))
    if not found:
        raise SourceError("nothing to read")
    logs = [part for s in found for part in (s.parts if isinstance(s, Series) else [s])]
    redactor = Engine.load(isolation=Isolation()).redactor(found, tokens)
    if len(logs) == 1:
        _copied(logs[0], redactor, output)
    elif output is None:
        raise UsageError("several logs: give --output FOLDER")
    else:
        for log in logs:
            _copied(log, redactor, output / safe_name(redactor.path(log.path)))
    keep(tokens, kept)


def _copied(log: "Source", redactor: "Redactor", output: Path | None) -> None:
    """Write a log redacted. Errors: UsageError where the file cannot be written."""
    try:
        if output is None:
            _write(log, redactor, sys.stdout.buffer)
            return
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.exists() and log.file and output.samefile(log.file):
            raise UsageError(f"--output {output}: is the log itself")
        with whole(output) as out:
            _write(log, redactor, out)
    except OSError as e:
        raise UsageError(f"cannot write {output or 'standard output'}: {e.strerror}") from e


def _write(log: "Source", redactor: "Redactor", out: IO[bytes]) -> None:
    for chunk in log.chunks():
        out.write(redactor.data(chunk.data))
