"""Options that several commands have. `analyze` with nothing but paths loads none of them: typer takes a fifth of its start."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tracekit.cli import complete
from tracekit.cli.formats import NAMES
from tracekit.cli.status import FAIL_ON
from tracekit.errors import UsageError


def _named(given: list[str] | None) -> list[str] | None:
    """Let this command, and the processes that it starts, see the plugins. Errors: UsageError."""
    from tracekit.plugins import loose

    for path in given or ():
        if not Path(path).exists():
            raise UsageError(f"--plugins {path}: there is no such file or folder")
    if given:
        before = os.environ.get(loose.VARIABLE)
        os.environ[loose.VARIABLE] = os.pathsep.join([*(os.path.abspath(p) for p in given), *([before] if before else [])])
    return given


Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        "-f",
        metavar="FORMAT[=FILE]",
        autocompletion=complete.formats,
        help=f"{NAMES}; more than once with =FILE. [default: terminal]",
    ),
]
FailOn = Annotated[
    str | None,
    typer.Option(
        metavar="GRADE[:SEVERITY]", help=f"Exit with 1 from this grade and severity up; 'never' for always 0. [default: {FAIL_ON}]"
    ),
]
Select = Annotated[
    list[str] | None,
    typer.Option(metavar="CODE,...", autocompletion=complete.diagnoses, help="Ask only these diagnoses: MSI-001, msi.stale-hwsize, MSI."),
]
Ignore = Annotated[
    list[str] | None, typer.Option(metavar="CODE,...", autocompletion=complete.diagnoses, help="Do not ask these diagnoses.")
]
Severity = Annotated[
    list[str] | None,
    typer.Option(metavar="CODE=SEVERITY", autocompletion=complete.severities, help="Give findings another severity: CFG=low."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        autocompletion=complete.settings,
        help="A setting of a diagnosis: vfio.lost-on-resize.timeout=2min (tracekit config show).",
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        metavar="RESULTS|RUN", help="Results of a batch, a saved run, or a report in JSON: what is in there is known, and suppressed."
    ),
]
Config = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Settings; without, the nearest tracekit.toml or [tool.tracekit] upwards. 'none' for none."),
]
Redact = Annotated[
    bool, typer.Option("--redact", help="Put tokens in place of hosts, users, addresses, serial numbers; faults and lines stay.")
]
Map = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Keep there, readable by you alone, which token stands for which value; read again, the same values get the same tokens.",
    ),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugins",
        metavar="FILE|FOLDER",
        callback=_named,
        help="Plugins that are not installed; also $TRACEKIT_PLUGINS (docs/plugins.md).",
    ),
]
Isolate = Annotated[str, typer.Option(metavar="WHICH", help="Plugins in a process of their own: all, foreign (not tracekit's) or none.")]
PluginTime = Annotated[float, typer.Option(metavar="SECONDS", help="What a diagnosis of such a plugin may take.", min=0.1)]
PluginMemory = Annotated[str, typer.Option(metavar="BYTES", help="What the process of such a plugin may hold: 1G.")]
