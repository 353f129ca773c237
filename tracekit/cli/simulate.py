"""`tracekit simulate`: run a scenario forward and print the faults that follow."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracekit.cli import options as cli_options
from tracekit.cli.output import complain, offers, rendered, say, write
from tracekit.errors import UsageError, nearest

if TYPE_CHECKING:
    from tracekit.simulate.answer import Answer
    from tracekit.simulate.plan import Plan
    from tracekit.simulate.scenario import Scenario
    from tracekit.simulate.simulator import Parts, Simulator


def simulate(
    scenario: Annotated[Path | None, typer.Argument(metavar="SCENARIO.toml", help="What is asked; without one, the defaults.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a setting: host.kernel=6.12, devices.table=8,16.")
    ] = None,
    like: Annotated[
        list[str] | None, typer.Option("--like", metavar="PATH", help="Start from what a log shows: kernel, QEMU, tables, devices.")
    ] = None,
    grid: Annotated[
        list[str] | None, typer.Option("--grid", metavar="NAME=A,B", help="One verdict for each value; twice: a table of both.")
    ] = None,
    flip: Annotated[str, typer.Option("--flip", metavar="GATE,...", help="Flip gates, all at once: KV2,QV3 (tracekit explain).")] = "",
    emit: Annotated[
        str,
        typer.Option("--emit", metavar="KIND,...", help="Write the lines of such a run into --output: ftrace, dmesg, qemu, xen, dm, dom0."),
    ] = "",
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="RESULTS", help="Which hosts of a batch fail after a change: --set devices.table=16."),
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Print the scenario and end.")] = False,
    format: Annotated[str, typer.Option("--format", "-f", help="terminal, json, html, markdown, svg.")] = "terminal",
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="PATH", help="Write there; with --emit a folder.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Every step of the run.")] = False,
    width: Annotated[int | None, typer.Option(help="Columns of the terminal page.", min=40)] = None,
    plugins: cli_options.Plugins = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")] = False,
) -> None:
    """Run a scenario on the model of kernel, VFIO, QEMU and Xen: which faults come, at which step, and what it costs."""
    from tracekit.plugins.registry import load
    from tracekit.simulate import ask
    from tracekit.simulate import settings as trees
    from tracekit.simulate.answer import Grid
    from tracekit.simulate.simulator import Parts

    registry = load(simulators=True)
    method = "write_plan" if plan else "write_grid" if grid else "write_answer"
    offers(registry, format, method)
    simulator = next((s() for s in registry.simulators), None)
    if simulator is None:
        raise UsageError("no plugin runs scenarios")
    parts = Parts(registry.machines, registry.gates, ask.flips(flip, registry.gates, simulator.switches))
    columns = width or shutil.get_terminal_size((80, 24)).columns
    options: dict[str, Any] = {"width": columns, "full": full, "names": {d.code: d.name for d in registry.diagnoses}}
    if plan:
        if scenario or like or grid or emit or show:
            raise UsageError("--plan takes the hosts from the results of a batch: give it --set and --flip alone")
        text, done = rendered(registry, format, _planned(simulator, parts, settings or [], plan), options, method)
        write(text, output if done else None)
        return
    source = str(scenario) if scenario else "scenario"
    tree = trees.changed(_tree(simulator, scenario, like or []), settings or [])
    asked = trees.scenario(tree, source)
    if show:
        write(trees.written(asked), output)
        return
    value: Any
    if grid:
        axes = [ask.axis(g) for g in grid]
        value = Grid(tuple(name for name, _ in axes), tuple(ask.grid(simulator, parts, tree, axes, source)))
    else:
        value = simulator.run(asked, parts)
        if emit:
            truth = rendered(registry, "json", value, options, "write_answer")[0] if output else ""
            _emit(simulator, value, asked, _kinds(simulator, emit), output, truth)
            return
    text, done = rendered(registry, format, value, options, method)
    write(text, output if done else None)


def _tree(simulator: "Simulator", scenario: Path | None, like: Sequence[str]) -> dict[str, Any]:
    """Return the settings: those that a log shows, then those of the file."""
    from tracekit.simulate import settings as trees

    if not like:
        return trees.read(scenario) if scenario else {}
    from tracekit.pipeline import Options, analyze

    seen, open_questions = simulator.like(analyze(like, Options(keep_tables=simulator.reads)).tables)
    for question in open_questions:
        complain(question)
    return trees.over(seen, trees.read(scenario) if scenario else {})


def _planned(simulator: "Simulator", parts: "Parts", change: Sequence[str], results: Path) -> "Plan":
    """Return what the change leads to on the hosts of a batch. Errors: UsageError without a change, ResultsError."""
    import polars as pl

    from tracekit.batch.results import Results
    from tracekit.simulate.plan import of_row
    from tracekit.simulate.plan import plan as foresee

    if not change:
        raise UsageError("--plan needs a change: --set host.kernel=7.2, --set devices.table=16")
    kept = Results(results)
    cases = kept.table("cases").filter(pl.col("status") == "done").select("result", "case", "machine").collect()
    told = cases.join(kept.table("scenarios").select("result", "settings", "open").collect(), on="result", how="left")
    rows = told.sort("case").select("case", "machine", "settings", "open").iter_rows()
    return foresee(simulator, parts, change, [of_row(*row) for row in rows])


def _kinds(simulator: "Simulator", emit: str) -> list[str]:
    kinds = [k.strip() for k in emit.split(",")]
    for kind in kinds:
        if kind not in simulator.emits:
            raise UsageError(f"--emit {kind}: give {', '.join(simulator.emits)}{nearest(kind, simulator.emits)}")
    return kinds


def _emit(
    simulator: "Simulator", answer: "Answer", scenario: "Scenario", kinds: Sequence[str], output: Path | None, truth: str | bytes
) -> None:
    """Write one file per kind into a folder, and the answer beside the folder. Without a folder write a single kind to standard output."""
    if output is None and len(kinds) > 1:
        raise UsageError("--emit of several kinds needs --output FOLDER")
    if output is None:
        write(simulator.emit(answer, scenario, kinds[0]), None)
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UsageError(f"cannot make the folder {output}: {e.strerror}") from e
    for kind in kinds:
        write(simulator.emit(answer, scenario, kind), output / f"{kind}.txt")
    beside = output.with_name(f"{output.name}.answer.json")  # in the folder it would be analyzed with the lines
    write(truth, beside)
    say(f"{output}: {', '.join(f'{k}.txt' for k in kinds)}; what is in them: {answer.verdict} ({beside})")
