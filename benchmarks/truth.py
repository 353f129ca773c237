"""What is found, missed and wrongly said, on logs with a known truth: `python benchmarks/truth.py [--write]`; `--write`: docs/truth.md.

Three sets: `sample_traces/` (always there), recordings (`--captures DIR` or TRACEKIT_CAPTURES, truth in tests/captures.toml) and field
logs (`--corpus DIR` or TRACEKIT_CORPUS, truth in its `index.tsv`: a family of faults a log).

Each field log with a fault is analyzed once more with its family's own literals left out: the rules of wordings that match a log of the
family, and all rules that match logs of no other family. What is found then rests on structure, and on formats that other logs taught.
"""

import argparse
import csv
import fnmatch
import os
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import recordings  # noqa: E402

from tracekit.findings import Finding  # noqa: E402
from tracekit.grammar import load as grammar  # noqa: E402
from tracekit.parsing.capture import Vocabulary  # noqa: E402
from tracekit.pipeline import Engine, Options, analyze  # noqa: E402
from tracekit.run import Run  # noqa: E402

MSI_REFUSED = "MSI-004 MSI-005 MSI-006 MSI-007 VFIO-003 VFIO-005 VEC-001 VEC-002 VEC-005"
# A family of the field logs, and the codes of which any one is right.
FAMILIES: Mapping[str, str] = {
    "none": "",
    "intr-remap-fault": "IRQ-003",
    "spurious-vector": "IRQ-004",
    "vector-exhaustion": "VEC-001 VEC-002 VEC-003 VEC-004",
    "vector-accounting-bug": "VEC-001 VEC-002 VEC-003 VEC-004 VEC-007",
    "msi-setup-failure": MSI_REFUSED,
    "msi-domain-hwsize": "MSI-001 MSI-004 MSI-006 MSI-009",
    "stale-msi-message": "IRQ-001 IRQ-002 IRQ-004 IRQ-007",
    "msi-lost-affinity": "IRQ-001 IRQ-002 IRQ-004 IRQ-007 VEC-008",
    "msi-lost-other": "IRQ-001 IRQ-002 IRQ-004 IRQ-007",
    "msi-masking-lost": "IRQ-001 IRQ-002 XEN-006",
    "vfio-irq-state": "VFIO-005 VFIO-003",
    "xen-pirq-starvation": "XEN-002 XEN-005",
    "xen-pirq-map-failure": "XEN-002 XEN-005",
    "xen-msi-setup-failure": "XEN-002 XEN-005 XEN-008 MSI-004 MSI-006",
    "xen-msi-bad-message": "XEN-009 XEN-005 IRQ-001",
    "xen-msix-mask-fault": "XEN-006 XEN-009",
    "msi-kernel-bug": "MSI-009",
    "unhandled-irq": "IRQ-006",
}
SILENCE_IS_RIGHT = {"none", "msi-kernel-bug", "unhandled-irq", "vector-accounting-bug"}
CONSEQUENCES = {"MSI-004", "MSI-009", "VFIO-003", "VFIO-004", "IRQ-001"}


@dataclass(frozen=True)
class Case:
    """One input with its truth: each of `faults` is a set of codes of which one must be found; `right` are the codes that may be said."""

    label: str
    paths: tuple[str, ...]
    faults: tuple[frozenset[str], ...]
    right: frozenset[str]
    proven: frozenset[str]  # codes that may be called proven
    sides: Mapping[str, str] = field(default_factory=dict)
    families: frozenset[str] = frozenset()


@dataclass
class Score:
    """Sums over a set of cases, and a line for whatever is not right."""

    cases: int = 0
    healthy: int = 0
    faults: int = 0
    found: int = 0
    alarms: int = 0
    proven: int = 0
    alone: int | None = None  # faults found with the family's own literals left out
    notes: list[str] = field(default_factory=list)
    unlearned: list[str] = field(default_factory=list)

    def add(self, case: Case, findings: Iterable[Finding]) -> None:
        told = [f for f in findings if f.grade and not f.code.startswith(("CFG", "OBS"))]
        codes = {f.code for f in told}
        false = {f.code for f in told if is_alarm(f)} - case.right
        proven = {f.code for f in told if f.grade == "proven" and is_alarm(f)} - case.proven
        missed = [sorted(fault) for fault in case.faults if not fault & codes]
        self.cases += 1
        self.healthy += not case.faults
        self.faults += len(case.faults)
        self.found += len(case.faults) - len(missed)
        self.alarms += len(false)
        self.proven += len(proven)
        self.notes += [f"{case.label}: missed {' or '.join(m)}" for m in missed]
        self.notes += [f"{case.label}: false alarm {code}" for code in sorted(false)]
        self.notes += [f"{case.label}: wrongly proven {code}" for code in sorted(proven - false)]


def is_alarm(f: Finding) -> bool:
    """What sets the exit status: proven or probable, medium or worse, and no consequence of another finding."""
    return f.grade in ("proven", "probable") and f.severity not in ("low", "info") and f.explained_by is None


def samples() -> Iterator[Case]:
    for case in sorted((HERE.parent / "sample_traces").glob("*/*/")):
        truth = tomllib.loads((case / "expected.toml").read_text(encoding="utf-8"))
        files = tuple(str(p) for p in sorted(case.iterdir()) if p.name != "expected.toml")
        sides = {str(case / name): side for name, side in truth.get("sides", {}).items()}
        yield whole(f"{case.parent.name}/{case.name}", files, truth.get("finding", []), sides)


def captures(to: Path) -> Iterator[Case]:
    for folder, what, truth in recordings.cases():
        files = tuple(recordings.blanked(folder, name, to) for name in recordings.parts(folder, what))
        yield whole(f"{folder}/{what}", files, truth["found"], {})


def whole(label: str, files: tuple[str, ...], found: list[dict[str, str]], sides: Mapping[str, str]) -> Case:
    """A case whose findings are all known."""
    graded = [f for f in found if f.get("grade", "-") != "-"]
    proven = frozenset(f["code"] for f in graded if f["grade"] == "proven")
    right = frozenset(f["code"] for f in graded)
    return Case(label, files, tuple(frozenset({f["code"]}) for f in graded), right, proven, sides)


def corpus(folder: Path) -> Iterator[Case]:
    with (folder / "index.tsv").open(encoding="utf-8", newline="") as index:
        rows = list(csv.DictReader(index, delimiter="\t"))
    for row in rows:
        names = [row["expected"] or "none", *(n.strip() for n in (row["also_ok"] or "").replace(";", ",").split(","))]
        families = [f for n in names for f in FAMILIES if fnmatch.fnmatch(f, n)]
        right = frozenset(c for f in families for c in FAMILIES[f].split())
        faults = () if SILENCE_IS_RIGHT & set(families) else (right,)
        right |= CONSEQUENCES if faults else frozenset()
        own = frozenset(f for f in families if fnmatch.fnmatch(f, names[0]))
        yield Case(row["file"], (str(folder / row["file"]),), faults, right, right, families=own)
    for path in sorted((folder / "large").glob("*.xz")):
        yield Case(path.name, (str(path),), (), frozenset(), frozenset())


def score(cases: Iterable[Case]) -> Score:
    total = Score()
    runs: list[tuple[Case, Run]] = []
    for case in cases:
        runs.append((case, analyze(list(case.paths), Options(sides=case.sides))))
        total.add(case, runs[-1][1].findings)
    if any(case.families for case, _ in runs):
        _leave_out(total, runs)
    return total


def _leave_out(total: Score, runs: list[tuple[Case, Run]]) -> None:
    """Count the faults that are found without the literals that only the logs of their own family teach."""
    engine, rules = Engine.load(), grammar.load()
    events = {case.label: {e for s in run.sources for e, n in s.events.items() if n} for case, run in runs}
    total.alone = 0
    for case, run in runs:
        found = [fault for fault in case.faults if fault & {f.code for f in run.findings if f.grade}]
        if not found:
            continue
        own = _own_rules(case, runs, events, {n for n, r in rules.events.items() if r.marks.wordings_of})
        rest = replace(rules, events={n: r for n, r in rules.events.items() if n not in own})
        less = replace(engine, vocabulary=Vocabulary(rest, engine.vocabulary.captured - own))
        codes = {f.code for f in analyze(list(case.paths), Options(sides=case.sides), less).findings if f.grade}
        lost = [fault for fault in found if not fault & codes]
        total.alone += len(found) - len(lost)
        total.unlearned += [f"{case.label}: not without {', '.join(sorted(own))}" for _ in lost]


def _own_rules(case: Case, runs: list[tuple[Case, Run]], events: Mapping[str, set[str]], wordings: set[str]) -> set[str]:
    """The rules to leave out: wordings that match a log of the family, and whatever matches logs of this family alone."""
    family = set().union(*(events[c.label] for c, _ in runs if c.families & case.families))
    others = set().union(*(events[c.label] for c, _ in runs if not c.families & case.families))
    return family & wordings | family - others


def table(scores: Mapping[str, Score]) -> str:
    head = "| set | cases | of them healthy | faults | found | found, own literals left out | missed | false alarms | wrongly proven |\n"
    head += "|---|" + "---:|" * 8 + "\n"
    rows = (
        f"| {name} | {s.cases} | {s.healthy} | {s.faults} | {s.found} | {'-' if s.alone is None else s.alone} "
        f"| {s.faults - s.found} | {s.alarms} | {s.proven} |\n"
        for name, s in scores.items()
    )
    return head + "".join(rows)


def page(scores: Mapping[str, Score]) -> str:
    notes = [f"* {name}: {note}" for name, s in scores.items() for note in s.notes]
    unlearned = [f"* {note}" for s in scores.values() for note in s.unlearned]
    return (
        "# What is found, per set of logs\n\n"
        "Written by `python benchmarks/truth.py --write`. Each case has a truth: the codes of its faults; a healthy case has\n"
        "none. A fault is found when its code is reported in any grade, else it is missed. A false alarm is a finding that the\n"
        "truth does not name, is proven or probable, has at least medium severity, and is not explained by another finding.\n"
        "Wrongly proven: a finding with the grade proven that the truth does not name. Own literals left out: each field log is\n"
        "analyzed once more without the rules of driver messages that match a log of the same family, and without the rules that\n"
        "match logs of no other family. A message that the kernel prints in only one wording cannot be found without its rule.\n\n"
        + table(scores)
        + "\n## Differences from the truth\n\n"
        + ("\n".join(notes) or "Nothing.")
        + "\n\n## Not found without the own literals\n\n"
        + ("\n".join(unlearned) or "Nothing.")
        + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captures", type=Path, default=recordings.GIVEN)
    parser.add_argument("--corpus", type=Path, default=Path(os.environ.get("TRACEKIT_CORPUS") or HERE.parents[1] / "shared" / "corpus"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    recordings.GIVEN = options.captures
    scores = {"samples": score(samples())}
    if options.captures.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            scores["recordings"] = score(captures(Path(folder)))
    if (options.corpus / "index.tsv").exists():
        scores["field logs"] = score(corpus(options.corpus))
    print(table(scores), *(note for s in scores.values() for note in (*s.notes, *s.unlearned)), sep="\n")
    if options.write:
        (HERE.parent / "docs" / "truth.md").write_text(page(scores), encoding="utf-8")
    return int(any(s.alarms or s.proven for s in scores.values()))


if __name__ == "__main__":
    sys.exit(main())
