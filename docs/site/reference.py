"""The pages that are computed from the installed code, one for each diagnosis, gate, table, hook, command and report."""

import importlib
import inspect
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from catalog import ROOT, Catalog, Command
from samples import Shown, at_the_root, picture, shown
from words import fenced, page, plain, sentence, table

from tracekit.cli.schema import Entry
from tracekit.diagnosing.diagnoses import Diagnosis
from tracekit.diagnosing.recipes import family_of
from tracekit.replay.gates import Gate, expanded, marked

WIDTH = 100  # columns of the reports that pages show
TERMINAL = 78  # columns of the help that pages show, as on a terminal of 80
SHORT = 60  # lines of a log that a page shows whole
FAMILIES = {
    "CFG": "Configurations",
    "IRQ": "Delivery",
    "KVMT": "kvmtool",
    "MSI": "The kernel's MSI code",
    "VEC": "CPU vectors and remapping entries",
    "VFIO": "VFIO and its clients",
    "XEN": "Xen",
    "OBS": "Blind spots",
}
SAMPLE = "msi.stale-hwsize"  # what the pages of reports show
Files = Iterator[tuple[str, str | bytes]]


def files(catalog: Catalog) -> Files:
    """Yield every computed page and picture: its address and content."""
    yield from _diagnoses(catalog)
    yield from _gates(catalog)
    yield from _tables(catalog)
    yield from _hooks(catalog)
    yield from _commands(catalog)
    yield from _reports(catalog)


def _diagnoses(catalog: Catalog) -> Files:
    pages = catalog.pages()
    by_family: dict[str, list[Diagnosis]] = defaultdict(list)
    for d in catalog.diagnoses:
        by_family[d.code.partition("-")[0]].append(d)
        yield f"diagnoses/{d.code}.md", _diagnosis(d, catalog, pages)
    lines = ["# Diagnoses\n", "Each page is the docstring of a diagnosis, with a sample in which it fires and the report on that sample.\n"]
    for family, members in by_family.items():
        rows = [(f"[{d.code}]({d.code}.md)", f"`{d.name}`", d.severity, plain(_first(d, catalog), catalog.pages("../"))) for d in members]
        lines += [f"## {FAMILIES.get(family, family)}\n", table(("code", "name", "severity", "finds"), rows)]
    yield "diagnoses/index.md", "\n".join(lines)


def _first(d: Diagnosis, catalog: Catalog) -> str:
    return " ".join(expanded(d.page.partition("\n\n")[0], catalog.gates).split())


def _diagnosis(d: Diagnosis, catalog: Catalog, pages: Mapping[str, str]) -> str:
    s = shown(d.code, d.name, catalog.engine)
    parts = ["---\nhide: [toc]\n---\n", f"# {d.code} {d.name}\n", f"Severity {d.severity}.\n", page(expanded(d.page, catalog.gates), pages)]
    if drawn := picture(s):
        parts += ["## Picture\n", f"What tracekit draws of the sample below ({_places(drawn)}):\n", *(f"{svg}\n" for svg in drawn)]
    parts += ["## Sample\n", f"{plain(_sentence(s.origin), pages)}\n", *_logs(s), f"```sh\n{s.command}\n```\n", fenced(_terminal(s))]
    parts += ["## Tables\n", *_tables_of(d, catalog)]
    return "\n".join([*parts, *_settings(d)])


def _places(drawn: list[str]) -> str:
    return "the span of the proof, then the whole recording" if len(drawn) > 1 else "the whole recording"


def _sentence(text: str) -> str:
    text = sentence(text)
    return text if text.endswith(".") else f"{text}."


def _logs(s: Shown) -> Iterator[str]:
    """Yield each log of a sample, folded; of a long one the lines of the finding's evidence."""
    for name in s.files:
        lines = (ROOT / name).read_bytes().decode("utf-8", "replace").removesuffix("\n").split("\n")
        if len(lines) <= SHORT:
            title, text = f"{Path(name).name}, {len(lines)} lines", "\n".join(lines)
        else:
            cited = sorted({n for e in s.finding.evidence if e.source == name for n in (e.line, e.line_end or e.line)})
            title, text = f"{Path(name).name}, {len(lines)} lines: those of the evidence", "\n".join(lines[n - 1] for n in cited if n > 0)
        if text:
            yield f'??? example "{title}"\n\n' + "\n".join(f"    {line}" for line in fenced(_printable(text)).splitlines()) + "\n"


def _printable(text: str) -> str:
    """Return text without signs that a page cannot hold."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def _terminal(s: Shown) -> str:
    with at_the_root():
        return str(s.run.report("terminal", width=WIDTH))


def _tables_of(d: Diagnosis, catalog: Catalog) -> Iterator[str]:
    for label, names in (("Needs", d.needs), ("Takes where present", d.wants)):
        if names:
            yield f"{label}: {', '.join(_table_link(n, catalog) for n in names)}.\n"
    if not (d.needs or d.wants):
        yield "None: it is the run's own finding.\n"


def _table_link(name: str, catalog: Catalog, up: str = "../") -> str:
    return f"[`{name}`]({up}tables/{name}.md)" if name in catalog.tables else f"`{name}`"


def _settings(d: Diagnosis) -> Iterator[str]:
    if d.settings:
        rows = [(f"`{d.name}.{key}`", f"`{value!r}`") for key, value in d.settings.items()]
        yield "## Settings\n"
        yield "[Settings](../settings.md) says how to give another value.\n"
        yield table(("setting", "default"), rows)
    if d.record:
        yield f"## To record\n\n{plain(_sentence(d.record), {})}\n"
        if family := family_of(d.code):
            yield f"```sh\ntracekit record {family}\n```\n"


def _gates(catalog: Catalog) -> Files:
    pages = catalog.pages()
    rows = []
    for code, gate in catalog.gates.items():
        rows.append((f"[{code}]({code}.md)", f"`{gate.name}`", gate.project, plain(expanded(gate.holds, catalog.gates), pages)))
        yield f"gates/{code}.md", _gate(gate, catalog, pages)
    about = (
        "A gate is a behaviour that a release, an architecture or an interrupt parent has or has not.\n"
        "`tracekit whatif` replays a recording with one gate flipped; `tracekit simulate --flip` runs a scenario so.\n"
    )
    yield "gates/index.md", "\n".join(["# Gates\n", about, table(("code", "name", "of", "what holds"), rows)])


def _gate(gate: Gate, catalog: Catalog, pages: Mapping[str, str]) -> str:
    text = page(expanded(gate.page().partition("\n\n")[2], catalog.gates), pages)
    parts = [f"# {gate.code} {gate.name}\n", f"A gate of {gate.project}.\n", text]
    asks = [d.code for d in catalog.diagnoses if gate.code in d.gates or gate.code in marked((d.page,))]
    models = [m.__name__ for m in catalog.engine.registry.models if gate.code in m.gates]
    systems = [s.__name__ for s in catalog.engine.registry.systems if gate.code in (*s.asks, *marked(f.text for f in s.fixes))]
    if asks or models or systems:
        parts.append("## Who asks for it\n")
        parts += [f"- diagnosis [{code}](../diagnoses/{code}.md)" for code in asks]
        parts += [f"- model `{name}`" for name in models] + [f"- system `{name}`" for name in systems]
    return "\n".join(parts) + f"\n\n```sh\ntracekit explain {gate.code}\n```\n"


def _tables(catalog: Catalog) -> Files:
    by_origin: dict[str, list[Entry]] = defaultdict(list)
    for name, entry in catalog.tables.items():
        kind, file = entry.emitters[0]
        by_origin[f"Lines: {file}" if kind == "grammar" else "Models and the pipeline"].append(entry)
        yield f"tables/{name}.md", _table(entry, catalog)
    lines = ["# Tables\n", "Rows of lines come from grammars, rows of lives, windows and operations from models.\n"]
    for origin in sorted(by_origin, key=lambda o: (o.startswith("Lines"), o)):
        rows = [(f"[{e.table.name}]({e.table.name}.md)", plain(e.table.row, catalog.pages())) for e in by_origin[origin]]
        lines += [f"## {origin}\n", table(("table", "a row is"), rows)]
    yield "tables/index.md", "\n".join(lines)


def _table(entry: Entry, catalog: Catalog) -> str:
    t, pages = entry.table, catalog.pages()
    parts = [f"# {t.name}\n", f"{plain(t.row, pages)}\n", f"Keys: {', '.join(f'`{k}`' for k in t.keys)}.\n"]
    for title, columns in (("Columns", t.columns), ("Columns that every table of its kind has", entry.columns)):
        if columns:
            rows = [(f"`{c.name}`", _kind(c), plain(c.meaning[0], pages)) for c in columns]
            parts += [f"## {title}\n", table(("column", "type", "holds"), rows)]
    parts += ["## Emitted by\n", *_items(entry.emitters, pages), "\n## Read by\n"]
    parts += _items(entry.readers, pages) or ["Nobody: it is there for `tracekit query`."]
    return "\n".join(parts) + f"\n\n```sh\ntracekit schema {t.name}\n```\n"


def _kind(column: Any) -> str:
    kind, unit = str(column.type), column.meaning[1]
    return f"{'List' if 'Struct' in kind else plain(kind, {})}{f' {unit}' if unit else ''}"


def _items(parts: Iterable[tuple[str, str]], pages: Mapping[str, str]) -> list[str]:
    return [f"- {plain(what, pages)}: `{file}`" for what, file in dict.fromkeys(parts)]


def _hooks(catalog: Catalog) -> Files:
    rows = []
    for name, spec in catalog.hooks.items():
        doc = inspect.getdoc(spec) or ""
        rows.append((f"[`{name}`]({name}.md)", plain(doc, {})))
        yield f"hooks/{name}.md", _hook(name, spec, doc, catalog)
    about = "Each hook is a function without arguments in the module of a plugin's entry point.\n"
    about += "[Writing a plugin](../plugins.md) is one package that uses them.\n"
    yield "hooks/index.md", "\n".join(["# Hooks\n", about, table(("hook", "gives"), rows)])


def _hook(name: str, spec: Callable[..., Any], doc: str, catalog: Catalog) -> str:
    signature = str(inspect.signature(spec)).replace("tracekit.diagnosing.diagnoses.", "").replace("tracekit.replay.gates.", "")
    signature = signature.replace("tracekit.picture.lane.", "").replace("pathlib.", "")
    parts = [f"# {name}\n", f"{plain(doc, {})}\n", f"```python\n@hookimpl\ndef {name}{signature}: ...\n```\n"]
    given = [(p.name, f) for p in catalog.engine.registry.plugins if (f := _implementation(p.name, name)) is not None]
    if not given:
        parts.append("No plugin of tracekit's own has it: the shipped grammars are the core's.\n")
        return "\n".join(parts)
    plugin, function = min(given, key=lambda g: len(inspect.getsource(g[1])))
    parts += ["## In tracekit\n", f"`{plugin}` has the shortest one:\n", fenced(inspect.getsource(function), "python")]
    parts.append(f"Plugins of tracekit that have it: {', '.join(f'`{p}`' for p, _ in given)}.\n")
    return "\n".join(parts)


def _implementation(plugin: str, hook: str) -> Callable[..., Any] | None:
    try:
        return getattr(importlib.import_module(plugin), hook, None)
    except ImportError:
        return None


def _commands(catalog: Catalog) -> Files:
    rows = []
    for command in catalog.commands:
        slug = command.words.replace(" ", "-")
        rows.append((f"[`{command.words}`]({slug}.md)", plain(_summary(command), {})))
        yield f"commands/{slug}.md", _command(command)
    about = "The text of each page is what `--help` prints.\n"
    yield "commands/index.md", "\n".join(["# Commands\n", about, table(("command", "does"), rows)])


def _summary(command: Command) -> str:
    return " ".join((command.parser.help or "").partition("\n\n")[0].split())


def _command(command: Command) -> str:
    names, width = command.help_options, TERMINAL
    with typer.Context(command.parser, info_name=command.words, help_option_names=names, terminal_width=width) as context:
        text = command.parser.get_help(context)
    parts = [f"# {command.words}\n", f"{plain(_summary(command), {})}\n", f"```sh\n{command.words} --help\n```\n", fenced(text)]
    below = [f"{command.words} {word}" for word in sorted(getattr(command.parser, "commands", {}))]
    parts += [f"- [`{words}`]({words.replace(' ', '-')}.md)" for words in below]
    return "\n".join(parts) + "\n"


_METHODS = {
    "write": "`tracekit analyze`",
    "write_fleet": "`tracekit report` on the results of a batch",
    "write_answer": "`tracekit simulate`",
    "write_grid": "`tracekit simulate --grid`",
    "write_plan": "`tracekit simulate --plan`",
}
_KINDS = {"json": "json", "sarif": "json", "gitlab": "json", "junit": "xml", "markdown": "markdown"}
_MOST = 80  # lines of a report that a page shows
_WHOLE = {"html": "html", "svg": "svg", "perfetto": "pftrace"}  # reports that are files of their own


def _reports(catalog: Catalog) -> Files:
    s = shown("MSI-001", SAMPLE, catalog.engine)
    rows = []
    for name, report in catalog.reports.items():
        doc = " ".join((inspect.getdoc(report) or "").split()).partition("`: ")[2]
        rows.append((f"[`{name}`]({name}.md)", plain(_sentence(doc), {})))
        yield f"reports/{name}.md", _report(name, report, _sentence(doc), s)
        if name in _WHOLE:
            yield f"reports/sample.{_WHOLE[name]}", _written(name, s)
    about = "`-f NAME` prints a report, `-f NAME=FILE` writes it into a file; several may be given at once.\n"
    yield "reports/index.md", "\n".join(["# Reports\n", about, table(("report", "is"), rows)])


def _report(name: str, report: Any, doc: str, s: Shown) -> str:
    by = [command for method, command in _METHODS.items() if hasattr(report, method)]
    parts = [f"# {name}\n", f"{plain(doc, {})}\n", f"Written by {', '.join(by)}.\n"]
    target = f"{name}=FILE" if name in _WHOLE else name
    parts.append(f"```sh\n{s.command} -f {target}\n```\n")
    if name in _WHOLE:
        parts.append(f"[The whole file](sample.{_WHOLE[name]}).\n")
        if name == "html":
            parts.append('<iframe class="report" src="../sample.html" title="the report" loading="lazy"></iframe>\n')
        if name == "svg":
            parts.append("![The report on the sample](sample.svg)\n")
        return "\n".join(parts)
    lines = str(_written(name, s)).splitlines()
    cut = f"The first {_MOST} of {len(lines)} lines:\n" if len(lines) > _MOST else ""
    return "\n".join([*parts, cut, fenced("\n".join(lines[:_MOST]), _KINDS.get(name, "text"))])


def _written(name: str, s: Shown) -> str | bytes:
    with tempfile.TemporaryDirectory() as folder, at_the_root():
        s.run.write(file := Path(folder) / "report", name, width=WIDTH)
        content = file.read_bytes()
    return content if _WHOLE.get(name) == "pftrace" else content.decode()
