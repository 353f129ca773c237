"""`tracekit sample`: cut the smallest sample of a finding out of logs."""

from pathlib import Path
from typing import Annotated

import typer

from tracekit.cli import complete
from tracekit.cli import options as cli_options
from tracekit.cli.output import say
from tracekit.errors import UsageError, nearest


def sample(
    paths: Annotated[list[str], typer.Argument(metavar="LOG...", help="Logs, traces, folders of them: one case.")],
    finding: Annotated[
        str,
        typer.Option("--finding", metavar="CODE", autocompletion=complete.diagnoses, help="The finding that it must still show: MSI-001."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="A folder that is not there yet: sample_traces/NAME/fires-LOG.")
    ] = None,
    redact: Annotated[bool, typer.Option("--redact/--as-it-is", help="Put tokens in place of names and addresses, or leave them.")] = True,
    tries: Annotated[int, typer.Option(metavar="N", help="Analyses that it may take.", min=1)] = 1000,
    plugins: cli_options.Plugins = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")] = False,
) -> None:
    """Cut the fewest lines out of logs that give the same findings with the same grades and evidence, and write expected.toml beside them.

    Hosts, users, addresses and serial numbers become tokens, as `tracekit redact` does it; no map is kept. Read the lines all the same.
    """
    from tracekit.cli import excerpt
    from tracekit.testing import EXPECTED, expected_now

    lines = excerpt.lines_of(paths, redact)
    run = excerpt.run_of(lines)
    named = next((f for f in run.findings if finding.upper() == f.code or finding.lower() == f.name), None)
    if named is None:
        found = sorted({f.code for f in run.findings})
        raise UsageError(f"no finding {finding} in it; there are {', '.join(found) or 'none'}{nearest(finding, found)}")
    stem = Path(paths[0]).name.partition(".")[0] or "log"
    folder = output or Path("sample_traces") / named.name / f"fires-{stem}"
    if folder.exists():
        raise UsageError(f"{folder} is there already; give another folder with -o")
    kept = excerpt.excerpt(lines, named.code, tries)
    folder.mkdir(parents=True)
    excerpt.write(kept, folder)
    names = ", ".join(excerpt.names(kept).values())
    releases = ", ".join(f'"{r}"' for r in _releases(folder)) or '"unknown"'
    (folder / EXPECTED).write_text(f'origin = "cut from {names} by tracekit sample"\nreleases = [{releases}]\n', encoding="utf-8")
    (folder / EXPECTED).write_text(expected_now(folder), encoding="utf-8")
    say(f"{folder}: {len(kept):,} of {len(lines):,} lines. Read {EXPECTED} before you keep it.")


def _releases(folder: Path) -> list[str]:
    """Return the releases that the lines name."""
    from tracekit.batch import rows
    from tracekit.pipeline import Options, analyze
    from tracekit.testing import engine

    own = engine()
    telling = own.vocabulary.telling
    run = analyze([str(folder)], Options(keep_tables=rows.needed(telling)), own)
    facts, _ = rows.of_run(run, 0.0, telling)
    return [f"{name} {facts[key]}" for key, name in (("kernel", "Linux"), ("qemu", "QEMU"), ("xen", "Xen")) if facts[key]]
