"""The pipeline on one page: paths and options in, a `Run` out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import chain, repeat, takewhile
from types import MappingProxyType
from typing import TYPE_CHECKING

import polars as pl

from tracekit import __version__
from tracekit.bdf import full_bdf
from tracekit.config.control import Control
from tracekit.diagnosing import recipes
from tracekit.diagnosing.diagnoses import Diagnosis, blind_spot, judge, settle, spotted
from tracekit.diagnosing.places import Places
from tracekit.errors import SourceError
from tracekit.evidence import BESIDE, placed, placed_pictures, with_text
from tracekit.findings import HOST, Finding, Outcome, Subject
from tracekit.grammar import load as grammar
from tracekit.guard import aside, guarded
from tracekit.parsing.capture import BEYOND, RAW, Vocabulary
from tracekit.parsing.complaint import weight
from tracekit.parsing.parse import Parsed, parse, parse_together, tables_of
from tracekit.picture.compose import picture
from tracekit.picture.lane import LaneSource
from tracekit.plugins import registry as plugins
from tracekit.plugins.isolation import IN_PROCESS, Isolation
from tracekit.plugins.plugin import Plugin
from tracekit.reading.archive import Limits
from tracekit.reading.source import Source, discover
from tracekit.reading.unpack import reason_of
from tracekit.replay import clock
from tracekit.replay.gates import expanded, worded
from tracekit.replay.inputs import Case as Replayable
from tracekit.replay.model import Model, replay
from tracekit.replay.together import LeftOut, Replayed, replayed
from tracekit.replay.whatif import Flip, confirmed
from tracekit.run import Given, NotUnderstood, Run, SourceReport, Tables
from tracekit.tables.pipeline import SOURCES
from tracekit.timeline import Picture, Timeline
from tracekit.trust import doubts

if TYPE_CHECKING:  # redaction is loaded where it is asked for
    from tracekit.redaction.redactor import Redactor
    from tracekit.redaction.tokens import Tokens

READS = ("gates",)  # what a run shows of the model: its reports print it
_TOGETHER = 128  # small logs that are parsed in one go
SCORE = frozenset(("predictions", "divergences"))  # tables that hold the model against the recording


@dataclass(frozen=True)
class Options:
    """Hold what the user may set.

    `clocks`: offset in ns by source; `sides`: guest or host by source; `keep_tables`: tables the Run carries;
    `beyond`: whether these also have the rows with a number that fits no column, null for it, which no model and no diagnosis sees;
    `pictures`: whether the Run carries a picture of each finding and the lines around its evidence;
    `limits`: what an archive may cost, those of the environment if null;
    `redaction`: tokens in place of names and addresses; `isolation`: which plugins run in a process of their own.
    """

    clocks: Mapping[str, int] = field(default_factory=dict)
    sides: Mapping[str, str] = field(default_factory=dict)
    keep_tables: tuple[str, ...] = ()
    beyond: bool = False
    pictures: bool = False
    progress: Callable[[int], None] | None = None
    limits: Limits | None = None
    redaction: "Tokens | None" = None
    case: str = ""  # what stands for the path that is given, where it is redacted
    isolation: Isolation = IN_PROCESS


@dataclass(frozen=True)
class Aligned:
    """Hold the events of a case with their machines, boots and streams, and what the models made of them, null where they did not run."""

    events: Mapping[str, pl.DataFrame]
    streams: pl.DataFrame
    repeats: pl.DataFrame
    replayed: Replayed | None = None


@dataclass(frozen=True)
class Opened:
    """Hold what the paths of a case lead to: its sources, the errors of what cannot be read, and what is parsed and replayed already."""

    sources: Sequence[Source]
    unread: Sequence[SourceError]
    parsed: Mapping[str, Parsed] = field(default_factory=dict)
    aligned: Aligned | None = None


@dataclass(frozen=True)
class Engine:
    """Hold what every analysis needs, whatever its input: plugins, the models that run, the compiled event rules, and what the user set.
    Loaded once for many cases."""

    registry: plugins.Registry
    models: Sequence[type[Model]]
    vocabulary: Vocabulary
    errors: tuple[str, ...] = ()
    control: Control = field(default_factory=Control)
    broken: Mapping[str, str] = field(default_factory=dict)  # table -> what is wrong with the grammar that would give it

    @classmethod
    def load(cls, keep_tables: Sequence[str] = (), isolation: Isolation = IN_PROCESS, simulators: bool = False) -> "Engine":
        """Load plugins and grammars.

        `keep_tables`: tables to fill beside those that a model or a diagnosis reads; `simulators`: load those too.

        Models that emit nothing but predictions run only where those are asked for: they score the model and decide no finding.
        """
        registry = plugins.load(isolation=isolation, simulators=simulators)
        grammars = grammar.load(registry.grammars)
        complaints = (*grammars.errors, *grammars.warnings)
        for folder, text in complaints:
            if folder in registry.grammars:
                registry.grammars[folder].mend(folder, text)
        broken = grammars.broken
        plugins.check(registry, grammars.events, broken)
        whole = {*keep_tables, *(name for s in registry.simulators for name in s.reads), *chain(*grammars.telling.values())}
        whole |= {*grammars.events, RAW} if "*" in keep_tables else set()
        wanted = registry.asked_for() | whole
        scored = not wanted.isdisjoint(("*", *SCORE))
        models = [m for m in registry.models if scored or set(m.emits()) != {"predictions"}]
        vocabulary = Vocabulary(grammars, wanted, registry.looked_for(whole))
        return cls(
            registry, models, vocabulary, tuple(text for folder, text in complaints if folder not in registry.grammars), broken=broken
        )

    def redactor(self, sources: Sequence[Source], tokens: "Tokens") -> "Redactor":
        """Read the sources once for the names in them; return what replaces these by tokens."""
        from tracekit.redaction.sources import redactor_of

        return redactor_of(sources, tokens, self.vocabulary.envelopes, self.vocabulary.rules)

    def fresh(self) -> "Engine":
        """Return an engine for another run, whose plugins carry no errors of this one."""
        return replace(self, registry=self.registry.fresh())


def analyze(paths: Sequence[str], options: Options | None = None, engine: Engine | None = None) -> Run:
    """Analyze all paths as one case. Errors: SourceError when no source can be read at all."""
    options = options or Options()
    case = Opened(*discover(paths, options.limits))
    if options.redaction is None or not case.sources:
        run = analyze_opened(case, options, engine)
        return run if "-" in paths else _asked_again(run, Given(tuple(paths), dict(options.clocks), dict(options.sides)))
    engine = engine or Engine.load(options.keep_tables, options.isolation)
    redactor = engine.redactor(case.sources, options.redaction)
    redactor.cases = {path: options.case for path in paths if options.case}
    run = analyze_opened(_redacted(case, redactor), _renamed(options, redactor), engine)
    return replace(
        run, errors=tuple(map(redactor.text, run.errors)), doubts=tuple(replace(d, text=redactor.text(d.text)) for d in run.doubts)
    )


def _redacted(case: Opened, redactor: "Redactor") -> Opened:
    from tracekit.redaction.sources import redacted, redacted_error

    return Opened([redacted(s, redactor) for s in case.sources], [redacted_error(e, redactor) for e in case.unread])


def _renamed(options: Options, redactor: "Redactor") -> Options:
    """Return the options with the sources called as the run calls them."""
    clocks = {redactor.path(s): offset for s, offset in options.clocks.items()}
    return replace(options, clocks=clocks, sides={redactor.path(s): side for s, side in options.sides.items()})


def open_together(paths: Sequence[str], engine: Engine, limits: Limits | None = None) -> dict[str, Opened]:
    """Open one case per path, parse the plain sources of all cases in one pass, and replay the small cases so. Errors: whatever one of them
    raises, but for models: a case at which one raises is replayed when it is analyzed."""
    found = {path: discover([path], limits) for path in paths}
    plain = [(path, s) for path, (sources, _) in found.items() for s in sources if s.plain]
    parsed: dict[str, dict[str, Parsed]] = {path: {} for path in paths}
    for (path, source), account in zip(plain, parse_together([s for _, s in plain], engine.vocabulary), strict=True):
        parsed[path][source.path] = account
    return _replayed_together({path: Opened(*found[path], parsed[path]) for path in paths}, engine)


def _replayed_together(cases: dict[str, Opened], engine: Engine) -> dict[str, Opened]:
    whole = [path for path, case in cases.items() if case.sources and len(case.parsed) == len(case.sources)]
    with aside(engine.registry.strangers):
        aligned = {p: _aligned([cases[p].parsed[s.path] for s in cases[p].sources], cases[p].sources, engine, Options()) for p in whole}
        done = replayed(engine.models, [Replayable(a.events, a.streams) for a in aligned.values()])
    for path, result in zip(whole, done, strict=True):
        cases[path] = replace(cases[path], aligned=replace(aligned[path], replayed=result))
    return cases


def analyze_opened(case: Opened, options: Options, engine: Engine | None = None) -> Run:
    """Analyze a case whose sources are found. Errors: SourceError when none can be read at all."""
    sources = case.sources
    errors = [str(e) for e in case.unread]
    if not sources:
        raise SourceError(errors[0] if errors else "nothing to read")
    engine = (engine or Engine.load(options.keep_tables, options.isolation)).fresh()
    registry = engine.registry
    with aside(registry.strangers):
        tables, parsed, repeats = read(sources, engine, options, errors, case.parsed, case.aligned)
        places = Places(tables, engine.vocabulary.telling)
        findings, outcomes = diagnose(registry, places, engine.control, engine.broken)
        findings = confirmed(findings, flipped(registry, places, {f.code for f in findings})) if findings else findings
    findings, suppressed = engine.control.divided(findings, today := date.today())
    given = {s.path: s for s in sources}
    with aside(registry.strangers):
        drawings = tuple(drawn(registry, findings, places, parsed)) if options.pictures else ()
    findings, around = with_text(findings, sources, repeats, BESIDE if options.pictures else 0)  # it can find that a log is gone
    reports = tuple(_source_report(p, clock.described(tables, p.path, p.clock), given[p.path]) for p in parsed)
    loaded = tuple(p.report() for p in registry.plugins)
    return Run(
        sources=reports,
        findings=tuple(findings),
        pictures=tuple(placed_pictures(drawings, sources)),
        pages={d.code: expanded(d.page, registry.gates) for d in registry.diagnoses if d.code in {f.code for f in findings}},
        around=around,
        outcomes=tuple(outcomes),
        gates=tuple(_gates(tables, sources)),
        plugins=loaded,
        errors=(*errors, *(e for p in loaded for e in p.errors)),
        version=__version__,
        suppressed=suppressed,
        settings=(*registry.changed, *engine.control.notes({s.by for s in suppressed}, today)),
        doubts=doubts(reports, outcomes, [e for e in errors if e not in engine.errors], loaded, engine.errors),
        tables={n: placed(t, sources) for n, t in _carried(tables, options)},
    )


def whatif(paths: Sequence[str], options: Options | None = None) -> list[Flip]:
    """Replay the case once per gate, with that gate alone flipped; return what each flip changes. Errors: SourceError."""
    sources, options, engine = _anew(paths, options)
    with aside(engine.registry.strangers):
        tables, _, _ = read(sources, engine, options, [])
        return flipped(engine.registry, Places(tables))


def timeline(device: str, paths: Sequence[str], options: Options | None = None) -> Timeline | None:
    """Draw what happened to a device, which needs no finding; None where the case shows too little of it. Errors: SourceError."""
    sources, options, engine = _anew(paths, options)
    with aside(engine.registry.strangers):
        tables, parsed, _ = read(sources, engine, options, [])
        places = Places(tables, engine.vocabulary.telling)
        wanted = (Finding("", "possible", (), _subject(device), machine=p.machine, boot=p.boot) for p in places)
        drawings = list(placed_pictures(drawn(engine.registry, wanted, places, parsed), sources))
    return max((p.whole for p in drawings if p), key=lambda t: sum(len(lane.bars) + len(lane.marks) for lane in t.lanes), default=None)


def table(name: str, paths: Sequence[str], options: Options) -> pl.DataFrame:
    """Return a table of the case, without rows where it has none. Errors: KeyError where no table has that name, SourceError."""
    sources, _, _ = _anew(paths, options)
    engine = Engine.load((name,), options.isolation)
    blank = engine.vocabulary.blank((name,)) | {n: rows for m in engine.registry.models for n, rows in m.blank().items()}
    with aside(engine.registry.strangers):
        made, _, _ = read(sources, engine, options, [])
    carried = dict(_carried(made, replace(options, keep_tables=(name,), beyond=True)))
    return placed(carried[name], sources) if name in carried else blank[name]


def _carried(tables: Mapping[str, pl.DataFrame], options: Options) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the tables that the Run carries."""
    for name in dict.fromkeys(n.removesuffix(BEYOND) for n in tables):
        if name in options.keep_tables or "*" in options.keep_tables:
            parts = [tables[n] for n in (name, name + BEYOND) if n in tables and (options.beyond or n == name)]
            if parts:
                yield name, parts[0] if len(parts) == 1 else pl.concat(parts).sort("source", "line", maintain_order=True)


def _asked_again(run: Run, given: Given) -> Run:
    """Return a run that reads its logs once more for what it is asked later."""
    tables = Tables(run.tables)
    tables.given = given
    return replace(run, given=given, tables=tables)


def _subject(device: str) -> Subject:
    """Return whom a name is about: a PCI function, the host, a domain of Xen, else what only the log knows."""
    if (bdf := full_bdf(device)).count(":") == 2:
        return Subject(bdf, bdf=bdf)
    return HOST if device == HOST.label else Subject(device, "domain" if device.startswith("dom") else "unknown")


def _anew(paths: Sequence[str], options: Options | None) -> tuple[Sequence[Source], Options, Engine]:
    sources, unread = discover(paths)
    if not sources:
        raise SourceError(str(unread[0]) if unread else "nothing to read")
    options = options or Options()
    return sources, options, Engine.load(isolation=options.isolation)


def read(
    sources: Sequence[Source],
    engine: Engine,
    options: Options,
    errors: list[str],
    given: Mapping[str, Parsed] | None = None,
    aligned: Aligned | None = None,
) -> tuple[dict[str, pl.DataFrame], list[Parsed], pl.DataFrame]:
    """Return (all tables of the case, the accounts of the sources, the repeated lines). `given`: sources that are parsed already, by path;
    `aligned`: their events, which count where the user says nothing of clocks and sides."""
    errors += engine.errors
    before = len(errors)
    parsed = list(_parsed(sources, engine, options, errors, given or {}))
    if not parsed:
        raise SourceError(errors[before])
    if aligned is None or options.clocks or options.sides:
        aligned = _aligned(parsed, sources, engine, options)
    done = aligned.replayed or _replayed_alone(aligned, engine)
    parsed = [replace(p, notes=[*p.notes, *notes]) if (notes := list(done.notes(p.path))) else p for p in parsed]
    tables = {**aligned.events, **done.tables}
    if "predictions" in tables:
        predictions = tables["predictions"]
        tables["divergences"] = predictions.clear() if predictions["agrees"].all() else predictions.filter(~pl.col("agrees"))
    tables["streams"] = aligned.streams
    tables["sources"] = _source_table(parsed)
    return tables, parsed, aligned.repeats


def _aligned(parsed: Sequence[Parsed], sources: Sequence[Source], engine: Engine, options: Options) -> Aligned:
    machines = {s.path: s.machine for s in sources if s.machine}
    events = {n: _owned(_sided(f, options.sides), machines) for n, f in tables_of(parsed).items()}
    return Aligned(*clock.align(events, {p.path: p.clock for p in parsed}, options.clocks, engine.vocabulary.telling))


def _replayed_alone(case: Aligned, engine: Engine) -> Replayed:
    def failed(model: type[Model], error: BaseException) -> None:
        engine.registry.owner(model).failed(f"replay {model.__name__}", error, f"the model {model.__name__}")

    left_out = LeftOut()
    return Replayed(replay(engine.models, case.events, case.streams, failed, left_out.add), left_out.lines)


def _parsed(
    sources: Sequence[Source], engine: Engine, options: Options, errors: list[str], given: Mapping[str, Parsed]
) -> Iterator[Parsed]:
    """Yield the accounts of the sources that can be read; small ones are parsed some at a time."""
    together: dict[str, Parsed] = {}
    for at, source in enumerate(sources):
        if source.path not in given and source.path not in together and source.small:
            group = list(takewhile(lambda s: s.small and s.path not in given, sources[at : at + _TOGETHER]))
            with suppress(SourceError, OSError):  # each is read alone then, and says its reason
                alike = parse_together(group, engine.vocabulary, options.progress) if len(group) > 1 else ()
                together = {p.path: p for p in alike}
        try:
            known = given.get(source.path) or together.get(source.path)
            yield known or parse(source, engine.vocabulary, options.progress)
        except SourceError as e:
            errors.append(str(e))
        except OSError as e:
            errors.append(f"{source.path}: cannot be read: {reason_of(e)}")


def diagnose(
    registry: plugins.Registry, places: Places, control: Control, broken: Mapping[str, str] = MappingProxyType({})
) -> tuple[list[Finding], list[Outcome]]:
    """Run every diagnosis but those left out, and return its outcome. One that raises is not evaluated, and its plugin is named."""
    findings: list[Finding] = []
    outcomes: list[Outcome] = []
    lacking = registry.lacking(frozenset(places.tables)) if len(places) == 1 else repeat(None)
    for (d, plugin, given), outcome in zip(registry.asked, lacking, strict=False):
        if d.code in control.left_out:
            continue
        if outcome is None:
            found, judged = _judged(plugin, d, places, {**given, **control.settings.get(d.code, {})})
            findings += control.severe(registry.advised(d, found)) if found else ()
            outcome = recipes.named(judged)
        if broken and outcome.outcome == "not evaluated" and (lost := next((t for t in d.needs if t in broken), None)):
            outcome = replace(outcome, reason=f"the table {lost} is missing since its grammar cannot be read", record="")
        outcomes.append(outcome)
    settled = worded(settle(findings, registry.diagnoses, places), registry.gates, places.tables.get("platforms")) if findings else []
    spot = blind_spot(settled, outcomes)
    outcomes.append(spotted(spot))
    return [*settled, spot] if spot else settled, outcomes


def drawn(registry: plugins.Registry, findings: Iterable[Finding], places: Places, parsed: Sequence[Parsed]) -> Iterable[Picture | None]:
    """Yield the picture of each finding. A lane that raises is left out and its plugin named."""
    clock_text = "; ".join(text for p in parsed if " shifted " in (text := clock.described(places.tables, p.path, p.clock)))

    def failed(source: LaneSource, error: BaseException) -> None:
        registry.owner(source).failed(f"draw the lane {source.name}", error, f"the lane {source.name}")

    for f in findings:
        yield picture(f, places, registry.lanes, failed, clock_text)


def _judged(plugin: Plugin, d: Diagnosis, places: Places, settings: Mapping[str, object]) -> tuple[list[Finding], Outcome]:
    reasons: list[str] = []
    with guarded(lambda e: reasons.append(plugin.failed(f"run {d.code} {d.name}", e, f"the diagnosis {d.code} {d.name}"))):
        return judge(d, places, **settings)
    return [], Outcome(d.name, d.code, "not evaluated", reasons[0])


def flipped(registry: plugins.Registry, places: Places, codes: Set[str] | None = None) -> list[Flip]:
    """Flip each gate of every system that the tables hold stimuli for. A system that raises is left out and named.

    `codes`: of the systems that name what they cure only those with a fix for one of these faults.
    """
    made: list[Flip] = []
    for system in registry.systems:
        cured = {code for fix in system.fixes for code in fix.cures}
        if codes is not None and cured and codes.isdisjoint(cured):
            continue
        told = registry.owner(system)
        with guarded(lambda e, told=told, name=system.__name__: told.failed(f"replay {name}", e, f"the system {name}")):  # type: ignore[misc]
            for place in places:
                seen = {name: rows for name in system.reads if (rows := places.across(place, name)) is not None}
                flips = system.flipped(registry.machines, seen, registry.gates)
                made += [replace(f, machine=place.machine, boot=place.boot) for f in flips]
    return made


def _sided(frame: pl.DataFrame, sides: Mapping[str, str]) -> pl.DataFrame:
    if not sides:
        return frame
    given = pl.col("source").replace_strict(dict(sides), default=None, return_dtype=pl.String)
    return frame.with_columns(pl.coalesce(given, "side").alias("side"))


def _owned(frame: pl.DataFrame, machines: Mapping[str, str]) -> pl.DataFrame:
    """Fill in the machine of rows without a host name, from the path of their source."""
    if not machines:
        return frame
    given = pl.col("source").replace_strict(dict(machines), default="", return_dtype=pl.String)
    return frame.with_columns(pl.when(pl.col("machine") == "").then(given).otherwise("machine").alias("machine"))


def _source_table(parsed: Iterable[Parsed]) -> pl.DataFrame:
    """Return one row per source and event name with the number of events, captured or only counted: proof that an event was recorded."""
    rows = [(p.path, p.clock, p.kernel, p.lines, e, n) for p in parsed for e, n in (p.events.items() or [(None, 0)])]
    return pl.from_dicts([dict(zip(SOURCES.schema, row, strict=True)) for row in rows], schema=SOURCES.schema)


def _gates(tables: Mapping[str, pl.DataFrame], sources: Sequence[Source]) -> Iterable[Mapping[str, object]]:
    if "gates" not in tables or tables["gates"].is_empty():
        return []
    told = placed(tables["gates"][["gate", "value", "basis", "why", "source", "line"]], sources)
    return [dict(zip(told.columns, row, strict=True)) for row in dict.fromkeys(told.iter_rows())]


def _source_report(p: Parsed, clock_text: str, source: Source) -> SourceReport:
    kinds = sorted(p.not_understood.items(), key=lambda kind: (-weight(kind[1][2]), kind[1][1]))
    understood = tuple(NotUnderstood(event, *example) for event, example in kinds)
    counts = (dict(p.envelopes), dict(p.events), dict(p.classes))
    notes, losses = (tuple(dict.fromkeys((*then, *now))) for then, now in ((p.notes, source.notes()), (p.losses, source.losses())))
    return SourceReport(p.path, p.lines, *counts, understood, clock_text, notes, losses)
