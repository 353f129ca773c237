"""CPU time and memory, as ratios against other tools in the same run (`peers.py`).

    python benchmarks/speed.py                     # writes the first part of docs/performance.md
    python benchmarks/speed.py --peers PYTHON      # an interpreter that has insights-core and drain3
    python benchmarks/speed.py --keep              # keep the ratios in benchmarks/kept.json
    python benchmarks/speed.py --quick --compare   # name what lost more than 20 % against the kept ones; exit status 1

Every figure is a whole process, start-up included. Kept are ratios of CPU times against the same loop in Python in the same run, which hold
on another machine; sizes are kept apart.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from inputs import write
from peers import WORDS, Cost, Peers, cost

HERE = Path(__file__).resolve().parent
KEPT = HERE / "kept.json"
WORSE = 1.2
# kind, bytes
LOGS = (
    *(("dmesg", size << 20) for size in (10, 100, 1024)),
    *(("ftrace", 100_000_000), ("ftrace", 500_000_000), ("calls", 50_000_000), ("graph", 50_000_000)),
)
QUICK = (("dmesg", 4 << 20), ("dmesg", 32 << 20), ("ftrace", 8_000_000), ("calls", 4_000_000), ("graph", 4_000_000))


@dataclass(frozen=True)
class Measured:
    """Hold what tracekit and the other tools cost for one log."""

    kind: str
    size: int
    own: Cost
    peers: Mapping[str, Cost]
    loop: float  # CPU of the loop in Python, for as many bytes

    @property
    def name(self) -> str:
        """Return what is kept of it: kind and size."""
        return f"{self.kind} {self.size / 1e6:,.0f} MB"

    def row(self, names: Sequence[str]) -> str:
        """Return a row of the table."""
        ratios = (f"{self.own.cpu / self.peers[n].cpu:.2f}" if n in self.peers and self.peers[n].cpu else "" for n in names)
        rate = self.size / 1e6 / self.own.seconds
        cells = (self.name, f"{self.own.seconds:.2f}", f"{self.own.cpu:.2f}", f"{rate:.0f}", f"{self.own.peak:.0f}", *ratios)
        return "| " + " | ".join(cells) + " |"


def generated(folder: Path, kind: str, size: int) -> Path:
    """Return a log of that kind and size."""
    path = folder / f"{kind}-{size}.log"
    with path.open("w") as out:
        write(kind, size, out)
    return path


def tracekit(*args: str) -> list[str]:
    """Return the command line of this environment's tracekit."""
    return [str(Path(sys.executable).parent / "tracekit"), *args]


def vocabulary(folder: Path) -> tuple[Path, int]:
    """Return a file of the literals of the whole vocabulary, one a line, and how many they are."""
    from tracekit.pipeline import Engine

    rules = Engine.load().vocabulary.rules.values()
    texts = sorted({text for r in rules if r.marks.sought_in != "small-sources" for text in r.texts})
    (folder / "literals").write_text("".join(f"{text}\n" for text in texts))
    return folder / "literals", len(texts)


def measured(folder: Path, logs: Sequence[tuple[str, int]], peers: Peers) -> Iterator[Measured]:
    """Yield what each log costs; the loop is read off a log of the first size and scaled."""
    first = generated(folder, *logs[0])
    loop = cost([sys.executable, "-c", WORDS, str(first)], 3).cpu / logs[0][1]
    first.unlink()
    for kind, size in logs:
        log = generated(folder, kind, size)
        yield Measured(kind, size, cost(tracekit("analyze", str(log)), 2), peers.costs(kind, log), loop * size)
        log.unlink()


def engine_rows() -> list[str]:
    """Return the table of the lowered engine against lark's Earley parser on the same lines, one core each."""
    import polars as pl

    from tracekit.grammar.lowering import lower_file
    from tracekit.grammar.reference import reference
    from tracekit.grammar.rules import built_in_folder

    rules = {r.name: (p, r) for p in built_in_folder().glob("events/*.lark") for r in lower_file(p)}
    path, rule = rules["vector_alloc"]
    text = [f"vector_alloc: irq={i} vector={i % 200} reserved=1 ret=0" for i in range(300_000)]
    parser = reference(path)
    begin = time.process_time()
    for line in text[:600]:
        parser.parse(line, start=rule.name)
    earley = 600 / (time.process_time() - begin)
    series = pl.Series(text)
    begin = time.process_time()
    series.str.extract_groups(rule.regex)
    lowered = len(text) / (time.process_time() - begin)
    head = ["| engine | lines for each s of CPU |", "|---|---|"]
    return [*head, f"| lark, Earley | {earley:,.0f} |", f"| lowered | {lowered:,.0f} |", f"| ratio | {lowered / earley:,.0f} |"]


def startup_rows(folder: Path) -> list[str]:
    """Return the table of start-up against importing what it is built on."""
    log = folder / "small.log"
    log.write_text("[    1.000000] vfio-pci 0000:3b:00.0: enabling device (0000 -> 0002)\n")
    base = cost([sys.executable, "-c", "import typer, polars"], 7).cpu
    rows = ["| start | s of CPU | times `import typer, polars` |", "|---|---|---|"]
    for arguments in (["--version"], ["--help"], ["analyze", str(log)]):
        own = cost(tracekit(*arguments), 7).cpu
        rows.append(f"| `tracekit {arguments[0]}{' small.log' if arguments[1:] else ''}` | {own:.2f} | {own / base:.2f} |")
    return rows


def worse(found: Sequence[Measured]) -> Iterator[str]:
    """Yield what costs a fifth more than what was kept, in units of the loop."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for m in found:
        ratio = m.own.cpu / m.loop
        if (before := kept.get(m.name)) and ratio > WORSE * before:
            yield f"{m.name}: {ratio:.3f} of the loop, kept {before:.3f}: {100 * (ratio / before - 1):.0f} % more"


def keep(found: Sequence[Measured]) -> None:
    """Keep the ratios; those of other sizes stay."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    kept |= {m.name: round(m.own.cpu / m.loop, 4) for m in found}
    KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def table(found: Sequence[Measured], peers: Peers, literals: int) -> list[str]:
    """Return the table of all logs; the columns of tools hold CPU of tracekit against CPU of the tool."""
    names = [n for n in peers.names if any(n in m.peers for m in found)]
    shown = (f"rg, the same {literals} literals" if n == "rg" else n for n in names)
    head = f"| log | s | s of CPU | MB/s | peak MiB | {' | '.join(f'times {n}' for n in shown)} |"
    return [head, "|" + "---|" * (5 + len(names)), *(m.row(names) for m in found)]


def page(found: Sequence[Measured], peers: Peers, literals: int, folder: Path) -> str:
    """Return the page."""
    command = "Measured with `python benchmarks/speed.py`"
    text = f"{command} on {os.cpu_count()} cores: whole processes, start-up included, the better of two runs."
    engine = "hyperscan (`tracekit[fast]`)" if find_spec("hyperscan") else "one expression, hyperscan is not installed"
    text += f" What finds the lines of large logs: {engine}. The columns `times ...` hold CPU time of tracekit against that of another tool"
    text += " (`benchmarks/peers.py`), which does less: it counts, filters or groups lines, and says nothing of them."
    text += f" The loop that counts words (`times words`) reads {found[0].size / found[0].loop / 1e6:.0f} MB in a second of this machine."
    parts = (table(found, peers, literals), engine_rows(), startup_rows(folder))
    return f"# Performance\n\n{text}\n" + "".join("\n" + "\n".join(p) + "\n" for p in parts)


def main() -> int:
    """Measure what was asked for."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--quick", action="store_true", help="small logs, no page")
    options.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="an interpreter that has insights-core and drain3")
    options.add_argument("--keep", action="store_true", help="keep the ratios")
    options.add_argument("--compare", action="store_true", help="compare with the ratios that were kept")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as tmp:
        literals, count = vocabulary(Path(tmp))
        peers = Peers(literals, given.peers)
        found = list(measured(Path(tmp), QUICK if given.quick else LOGS, peers))
        text = page(found, peers, count, Path(tmp))
    print(text)
    lost = list(worse(found)) if given.compare else []
    print(*lost, sep="\n")
    if given.keep:
        keep(found)
    if not given.quick:
        place = HERE.parent / "docs" / "performance.md"
        rest = (place.read_text() if place.exists() else "").partition("\n## Batches")  # what benchmarks/batch.py measured stays
        place.write_text(text + rest[1] + rest[2])
    return int(bool(lost))


if __name__ == "__main__":
    raise SystemExit(main())
