"""How much of the recorded logs the replay predicts: `python benchmarks/predicted.py FOLDER...`; each holds recordings, one a folder.

An operation counts where its result is recorded. It is predicted from known state, or as a healthy system's result where the state is not
known ("if healthy"); a divergence is a prediction that missed, unexplained if no finding tells why. The recordings' own notes are blanked.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import recordings  # noqa: E402

from tracekit.pipeline import Engine, Options, analyze  # noqa: E402
from tracekit.replay.score import Score, score, unpredicted  # noqa: E402

SCORED = ("predictions",)


def scores(given: Path, to: Path, engine: Engine) -> Iterator[tuple[str, Score, list[tuple[str, int, str, int]]]]:
    """Each recording as one case: its name, its score, and what was not predicted."""
    recordings.GIVEN = given
    for folder in sorted(p.name for p in given.iterdir() if p.is_dir()):
        files = [recordings.blanked(folder, name, to) for name in recordings.inputs(folder)]
        if files:
            run = analyze(files, Options(keep_tables=SCORED), engine)
            yield folder, score(run.tables, run.findings), unpredicted(run.tables)


def main() -> int:
    engine = Engine.load(SCORED)
    sums: dict[str, list[int]] = {"healthy": [0] * 5, "all": [0] * 5}
    with tempfile.TemporaryDirectory() as temporary:
        for n, given in enumerate(map(Path, sys.argv[1:])):
            copies = Path(temporary) / str(n)
            copies.mkdir()
            for folder, s, missing in scores(given, copies, engine):
                row = [s.operations, s.predicted, s.if_healthy, s.divergences, s.unexplained]
                for name in ("all", *(["healthy"] if "healthy" in folder else [])):
                    sums[name] = [a + b for a, b in zip(sums[name], row, strict=True)]
                print(_line(folder, row), *(f"{times} {what}" for what, times, _, _ in missing), sep="  ")
                print(
                    *(
                        f"    {r['source'].rsplit('/', 1)[-1]}:{r['line']} {r['operation']} {r['predicted']} expected, {r['observed']} seen"
                        for r in s.rows
                        if not r["explained_by"]
                    ),
                    sep="\n",
                    end="\n" if s.unexplained else "",
                )
    for name, row in sums.items():
        print(_line(name, row))
    return int(sums["all"][4] > 0)


def _line(name: str, row: list[int]) -> str:
    operations, predicted, if_healthy, divergences, unexplained = row
    share = f"{100 * predicted / operations:5.1f} %" if operations else "      -"
    return f"{name:<55} {operations:>6} {predicted:>6} {share} {if_healthy:>6} {divergences:>4} {unexplained:>4}"


if __name__ == "__main__":
    sys.exit(main())
