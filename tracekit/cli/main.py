"""The command line: which module has which command. One that is called by its name is loaded alone: a small log is answered sooner."""

import os
import re
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

from tracekit import __version__
from tracekit.cli.output import Output, complain
from tracekit.errors import TracekitError

if TYPE_CHECKING:
    import typer

# Where each command is, in the order of the help; `config` and `new` have commands of their own.
COMMANDS = {
    "analyze": "analyze:analyze",
    "plugins": "plugins:list_plugins",
    "explain": "explain:explain",
    "schema": "schema:schema",
    "match": "match:match",
    "replay": "model:replay",
    "state": "model:state",
    "whatif": "model:whatif",
    "simulate": "simulate:simulate",
    "batch": "batch:batch",
    "report": "batch:report",
    "query": "batch:query",
    "watch": "watch:watch",
    "redact": "redact:redact",
    "record": "record:record",
    "doctor": "doctor:doctor",
    "expect": "author:expect",
    "test": "test:test",
    "sample": "sample:sample",
    "config": "config:config",
    "new": "author:new",
}


def application(names: Iterable[str] = COMMANDS) -> "typer.Typer":
    """Return the application with these commands."""
    import typer

    def options(version: Annotated[bool, typer.Option("--version", "-V", help="Print the version and end.")] = False) -> None:
        if version:
            print(f"tracekit {__version__}")
            raise typer.Exit(0)

    app = typer.Typer(
        name="tracekit",
        help="Say from logs and traces why a passed-through PCI device stopped interrupting, and on which lines.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # rich would cost half of the start
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(options)
    for name in names:
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(import_module(f"tracekit.cli.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def main() -> None:
    """Run the command line; exit status as `analyze --help` says, 2 for wrong usage too, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = Output(sys.stdout), Output(sys.stderr, needed=False)
    sys.exit(_status(_ready))


def _ready() -> None:
    """Do what saves time and memory, before anything of weight is loaded."""
    from tracekit.speed import end_without_search, keep_compiled, return_memory_soon, search_rarely

    if sys.argv[1:2] != ["batch"]:
        return_memory_soon()
    search_rarely()
    end_without_search()
    keep_compiled()


def _status(ready: Callable[[], None] = lambda: None) -> int:
    try:
        status = _unchanged()
        if status is None:
            ready()
            paths = sys.argv[2:] if sys.argv[1:2] == ["analyze"] else []
            status = _analyzed(paths) if paths and not any(map(_is_option, paths)) else _called()
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except Exception as e:
        if type(e).__name__ == "Abort":  # what typer raises for an interrupt
            return 130
        if "--debug" in sys.argv:
            raise
        # typer's own errors of usage come from the click it brings along, under a name that changes with its release
        if type(e).__name__ == "NoArgsIsHelpError":  # the page of help, where no command was given
            print(e, file=sys.stderr)
            return 2
        message = e.format_message() if hasattr(e, "format_message") else str(e)
        known = isinstance(e, TracekitError) or hasattr(e, "format_message")
        complain(_with_hint(message) if known else f"internal error: {type(e).__name__}: {message} (--debug shows where)")
        return 2


def _with_hint(message: str) -> str:
    """Return what is said of wrong usage, with what was meant: a report's name as an option, a file without a command."""
    from tracekit.cli.formats import NAMES

    wrong = re.match(r"No such (?:option: --|command ')([^' ]+)", message)
    if wrong and "option" in message and wrong[1] in NAMES.split(", "):
        return f"No such option: --{wrong[1]}; the report is -f {wrong[1]}"
    if wrong and "command" in message and os.path.exists(wrong[1]):
        return f"No such command '{wrong[1]}'; to analyze it: tracekit analyze {wrong[1]}"
    return message


def _is_option(argument: str) -> bool:
    """Return whether an argument may be an option: a dash alone is standard input."""
    return argument.startswith("-") and argument != "-"


def _unchanged() -> int | None:
    """Answer a batch in which nothing changed, without what the command loads; null where it has to look, and for other commands."""
    if sys.argv[1:2] != ["batch"]:
        return None
    from tracekit.cli import unchanged

    return unchanged.status(sys.argv[2:])


def _analyzed(paths: list[str]) -> int:
    """Run `analyze` on paths alone, without typer: it takes a fifth of the start, half of that for the types of options."""
    from tracekit.cli.analysis import analysis

    return analysis(paths)


def _called() -> int:
    called = [name for name in sys.argv[1:2] if name in COMMANDS]
    return application(called or COMMANDS)(prog_name="tracekit", standalone_mode=False) or 0
