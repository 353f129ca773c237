"""What findings of samples say: the sentence, and the numbers and names (`values`). `sample_values.tsv` has them, `expected.toml` has not.

`python tests/test_sample_values.py` writes that file anew. Read what changed before you keep it.
"""

import json
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

from tracekit.pipeline import Options, analyze
from tracekit.testing import engine, samples

HERE = Path(__file__).parent
KEPT = HERE / "sample_values.tsv"
SAMPLES = HERE.parent / "sample_traces"


def carried(case: Path) -> list[tuple[str, ...]]:
    """(code, subject, summary, values as JSON) of each finding of a sample."""
    told = tomllib.loads((case / "expected.toml").read_text(encoding="utf-8"))
    sides, clocks = ({str(case / name): value for name, value in told.get(key, {}).items()} for key in ("sides", "clocks"))
    files = sorted(str(p) for p in case.rglob("*") if p.is_file() and p.name != "expected.toml")
    found = analyze(files, Options(sides=sides, clocks=clocks), engine()).findings
    return [(f.code, f.subject.label, f.summary, json.dumps(f.values, sort_keys=True, default=str)) for f in found if f.code != "OBS-001"]


def kept() -> dict[str, list[tuple[str, ...]]]:
    """The lines of the file, by sample."""
    cases = defaultdict(list)
    for line in KEPT.read_text(encoding="utf-8").splitlines():
        case, *rest = line.split("\t")
        cases[case].append(tuple(rest))
    return cases


@pytest.mark.parametrize("case", sorted(kept()))
def test_sample(case: str) -> None:
    assert carried(SAMPLES / case) == kept()[case]


if __name__ == "__main__":
    fires = [c for c in samples(SAMPLES) if c.name.startswith("fires-")]
    rows = [(f"{c.parent.name}/{c.name}", *f) for c in fires for f in carried(c)]
    KEPT.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
