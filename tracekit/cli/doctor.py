"""`tracekit doctor`: which questions a log can answer, which it cannot, and the one recording that would add most."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tracekit.cli import options as cli_options
from tracekit.cli.output import complain, say

if TYPE_CHECKING:
    from tracekit.findings import Outcome

ANSWERED = ("found", "clear")
_MOST = 3  # reasons of a family
_XEN = "XEN-"


def doctor(
    paths: Annotated[list[str], typer.Argument(metavar="LOG...", help="Logs, traces, folders of them: one case.")],
    plugins: cli_options.Plugins = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")] = False,
) -> None:
    """Say which questions a log can answer and which not, and the one command that would add most."""
    from tracekit.pipeline import Engine, Options, analyze
    from tracekit.plugins.isolation import Isolation

    isolation = Isolation()
    run = analyze(paths, Options(isolation=isolation), Engine.load(isolation=isolation))
    for error in run.errors:
        complain(error)
    outcomes = [o for o in run.outcomes if not o.code.startswith("OBS")]
    answered = [o for o in outcomes if o.outcome in ANSWERED]
    say(f"{len(answered)} of {len(outcomes)} questions are answered.")
    for line in _told(outcomes):
        say(line)
    for text in dict.fromkeys(u.would_settle for f in run.findings for u in f.unchecked if f.grade and u.would_settle):
        say(f"a finding would be surer with: {text}")
    say(best(outcomes))


def best(outcomes: "Sequence[Outcome]") -> str:
    """Return the command that would answer the most open questions. Those of Xen count only where the log shows something of Xen."""
    from tracekit.diagnosing.recipes import RECIPES

    under_xen = any(o.outcome != "not evaluated" for o in outcomes if o.code.startswith(_XEN))
    missing = {o.code for o in outcomes if o.outcome not in ANSWERED and (under_xen or not o.code.startswith(_XEN))}
    open_ = {name: sorted(missing & set(recipe.feeds)) for name, recipe in RECIPES.items()}
    name = max(open_, key=lambda n: len(open_[n]))
    if not open_[name]:
        return "No recording of tracekit adds to it." if missing else "Nothing is left to record."
    script = " --script > record.sh" if RECIPES[name].tracing else ""
    return f"Most would add, for {', '.join(open_[name])}: tracekit record {name}{script}"


def _told(outcomes: "Sequence[Outcome]") -> Iterator[str]:
    """Yield a part for each family: what is answered, then what is not, the same reason once."""
    families: dict[str, list[Outcome]] = defaultdict(list)
    for o in outcomes:
        families[o.code.partition("-")[0]].append(o)
    for family, mine in families.items():
        yield f"{family}"
        for kind, label in (("found", "found"), ("clear", "clear")):
            if codes := [o.code for o in mine if o.outcome == kind]:
                yield f"  {label}: {', '.join(codes)}"
        reasons: dict[str, list[str]] = defaultdict(list)
        for o in mine:
            if o.outcome not in ANSWERED:
                reasons[f"{o.outcome}: {o.reason}"].append(o.code)
        ordered = sorted(reasons.items(), key=lambda r: -len(r[1]))
        for reason, codes in ordered[:_MOST]:
            yield f"  {reason} ({', '.join(codes)})"
        if rest := [code for _, codes in ordered[_MOST:] for code in codes]:
            yield f"  not answered for other reasons ({', '.join(rest)}): tracekit analyze --full"
