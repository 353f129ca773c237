"""Manual pages of the commands, from what their options and help say: `python -m tracekit.cli.man FOLDER` writes them."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from tracekit import __version__

SEE = "The pages of diagnoses and gates: tracekit explain CODE. Tables: tracekit schema."


def pages() -> dict[str, str]:
    """Return the pages by file name: one of tracekit, one of each command."""
    from tracekit.cli.main import application

    root = typer.main.get_command(application())
    return {f"{name.replace(' ', '-')}.1": _page(name, command) for name, command in _commands("tracekit", root)}


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, command) of a command and of those below it."""
    yield name, command
    for word, sub in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(f"{name} {word}", sub)


def _page(name: str, command: Any) -> str:
    help_ = (command.help or "").strip()
    first, _, rest = help_.partition("\n\n")
    lines = [f'.TH "{name.replace(" ", "-").upper()}" "1" "" "tracekit {__version__}" "tracekit"', ".SH NAME"]
    lines.append(f"{_text(name.replace(' ', '-'))} \\- {_text(' '.join(first.split()).rstrip('.'))}")
    lines += [".SH SYNOPSIS", f".B {_text(name)}", *map(_text, _synopsis(command))]
    if rest.strip():
        lines.append(".SH DESCRIPTION")
        lines += [line for part in rest.split("\n\n") for line in (".PP", _text(" ".join(part.split())))]
    arguments = [p for p in command.params if p.param_type_name == "argument" and getattr(p, "help", None)]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    for title, params in (("ARGUMENTS", arguments), ("OPTIONS", options)):
        if params:
            lines += [f".SH {title}", *(line for p in params for line in _param(p))]
    if below := sorted(getattr(command, "commands", {}).items()):
        lines.append(".SH COMMANDS")
        for word, sub in below:
            about = " ".join((sub.help or "").strip().partition("\n\n")[0].split())
            lines += [".TP", f".B {_text(word)}", _text(about), f"See \\fB{_text(f'{name} {word}'.replace(' ', '-'))}\\fR(1)."]
    return "\n".join([*lines, ".SH SEE ALSO", _text(SEE)]) + "\n"


def _synopsis(command: Any) -> Iterator[str]:
    yield "[OPTIONS]"
    for p in command.params:
        if p.param_type_name == "argument":
            shown = p.metavar or p.name.upper()
            yield shown if p.required else f"[{shown}]"
    if getattr(command, "commands", None):
        yield "COMMAND [ARGS]"


def _param(p: Any) -> Iterator[str]:
    yield ".TP"
    kind = getattr(getattr(p, "type", None), "name", "value")
    takes = "" if getattr(p, "is_flag", False) else f" {p.metavar or str(kind).upper()}"
    names = ", ".join((*p.opts, *p.secondary_opts)) if p.param_type_name == "option" else (p.metavar or p.name.upper())
    yield f".B {_text(names + (takes if p.param_type_name == 'option' else ''))}"
    default = p.default if isinstance(p.default, int | float | str) and not isinstance(p.default, bool) and p.default != "" else None
    told = f" [default: {default}]" if default is not None and "[default" not in (p.help or "") else ""
    yield _text((p.help or "") + told)


def _text(text: str) -> str:
    """Return a text that troff prints as it is."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in pages().items():
        (folder / file).write_text(text, encoding="utf-8")
