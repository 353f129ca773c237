"""`tracekit explain`: the page of a diagnosis or a gate, or a line on each."""

import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from tracekit.cli import complete
from tracekit.cli import options as cli_options
from tracekit.cli.output import say
from tracekit.errors import UsageError, nearest

if TYPE_CHECKING:
    from tracekit.diagnosing.diagnoses import Diagnosis
    from tracekit.replay.gates import Gate

_WIDEST = 120  # columns of running text that an eye follows


def explain(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|CODE]", autocompletion=complete.pages, help="msi.stale-hwsize, MSI-001; a gate: KV2; nothing: a line on each."
        ),
    ] = None,
    plugins: cli_options.Plugins = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")] = False,
) -> None:
    """Print the page of a diagnosis: what it finds, why it matters, when it stays quiet, what to do; or a gate's: since when, where."""
    from tracekit.diagnosing.diagnoses import BLIND_SPOT
    from tracekit.plugins import registry as loaded
    from tracekit.plugins.isolation import Isolation
    from tracekit.replay.gates import expanded

    registry = loaded.load(isolation=Isolation())
    diagnoses, gates = [*registry.diagnoses, BLIND_SPOT], registry.gates
    if name is None:
        say("\n".join(_overview(diagnoses, gates)))
        return
    for gate in gates.values():
        if name.lower() in (gate.name, gate.code.lower()):
            say(_filled(expanded(gate.page(), gates)))
            return
    for d in diagnoses:
        if name.lower() in map(str.lower, d.called):
            changes = [f"changed: plugin {by.name} {by.version} {text}" for by, of, text in registry.changes if of is d]
            facts = _facts(replace(d, settings={**d.settings, **registry.given(d)}))
            say(_filled("\n".join([f"{d.name} ({d.code}), severity {d.severity}", "", expanded(d.page, gates), "", *facts, *changes])))
            return
    known = [*(n for d in diagnoses for n in (d.name, d.code)), *(n for g in gates.values() for n in (g.name, g.code))]
    raise UsageError(f"no diagnosis and no gate is called {name}{nearest(name, known)}")


def _facts(d: "Diagnosis") -> Iterator[str]:
    """Yield what a diagnosis reads, its settings, and what records it."""
    from tracekit.diagnosing.recipes import family_of

    tables = [("needs", d.needs), ("takes where present", d.wants)]
    yield from (f"{label}: {', '.join(names)}" for label, names in tables if names)
    if d.settings:
        yield f"settings: {', '.join(f'{key} = {value!r}' for key, value in d.settings.items())}"
    if d.record:
        yield f"to record: {d.record}"
    if family := family_of(d.code):
        yield f"commands: tracekit record {family}"


def _overview(diagnoses: Sequence["Diagnosis"], gates: Mapping[str, "Gate"]) -> Iterator[str]:
    """Yield a line per diagnosis and per gate, by family."""
    from tracekit.replay.gates import expanded

    wide = max(len(d.name) for d in diagnoses)
    columns = min(shutil.get_terminal_size((80, 24)).columns, _WIDEST)
    family = ""
    for d in diagnoses:
        if (own := d.code.partition("-")[0]) != family:
            family = own
            yield ("" if own == diagnoses[0].code.partition("-")[0] else "\n") + f"{own}"
        first = " ".join(d.page.partition("\n\n")[0].split()) if d.page else ""
        yield _cut(f"  {d.code:<9} {d.name:<{wide}}  {expanded(first, gates)}", columns)
    yield "\ngates: behaviour that depends on the release"
    for g in sorted(gates.values(), key=lambda g: (g.code[:2], len(g.code), g.code)):
        yield _cut(f"  {g.code:<9} {g.name:<{wide}}  {expanded(g.holds, gates)}", columns)


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def _filled(page: str) -> str:
    """Return a page with each paragraph and section (`What it finds: ...`) wrapped at the width of the terminal."""
    width = min(shutil.get_terminal_size((80, 24)).columns, _WIDEST)
    parts = re.split(r"\n(?=\n|- |[A-Za-z][A-Za-z ]+:\s)", page)
    return "\n".join("\n" * part.startswith("\n") + textwrap.fill(part.strip(), width, break_on_hyphens=False) for part in parts)
