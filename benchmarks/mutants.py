"""Change one guard of a diagnosis at a time and count how many of these changes the tests notice.

    python benchmarks/mutants.py                   # 100 changes, drawn with a fixed seed
    python benchmarks/mutants.py --count 0         # all of them
    python benchmarks/mutants.py --only stale_hwsize

A change is one of: a comparison turned (`<` into `<=`, `==` into `!=`, `is` into `is not`), `and` for `or`, `not` left out, a number one
higher. It is noticed where the samples or the tests of its family fail. Exit status 1 where fewer than `--at-least` percent are noticed.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TURNED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    """One change: the file, the line, what was done, and the whole changed text."""

    path: Path
    line: int
    what: str
    text: str


def mutants(path: Path) -> Iterator[Mutant]:
    """Yield every change of one file that leaves a program."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    count = sum(1 for _ in ast.walk(tree))
    for place in range(count):
        changed = deepcopy(tree)
        node = next(n for i, n in enumerate(ast.walk(changed)) if i == place)
        if what := change(node):
            yield Mutant(path, getattr(node, "lineno", 0), what, ast.unparse(changed))


def change(node: ast.AST) -> str:
    """Change a node in place; return what was done, or nothing where there is no guard to change."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in TURNED:
        before = type(node.ops[0])
        node.ops[0] = TURNED[before]()
        return f"{before.__name__} -> {TURNED[before].__name__}"
    if isinstance(node, ast.BoolOp):
        before = type(node.op)
        node.op = TURNED[before]()
        return f"{before.__name__} -> {TURNED[before].__name__}"
    if isinstance(node, ast.BinOp) and type(node.op) in (ast.BitAnd, ast.BitOr) and guards(node):
        before = type(node.op)
        node.op = TURNED[before]()
        return f"{before.__name__} -> {TURNED[before].__name__}"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        node.operand = ast.UnaryOp(type(node.op)(), node.operand)
        return "not left out"
    if isinstance(node, ast.Constant) and type(node.value) is int:
        node.value += 1
        return f"{node.value - 1} -> {node.value}"
    return ""


def guards(node: ast.BinOp) -> bool:
    """Whether `&` and `|` join expressions of polars, not types or sets."""
    return "pl.col" in ast.unparse(node)


def noticed(mutant: Mutant) -> bool:
    """Return whether the samples or the tests of the family fail with this change."""
    family = mutant.path.relative_to(ROOT / "plugins").parts[0]
    tests = [ROOT / "tests" / "test_samples.py", ROOT / "tests" / "plugins" / family.removeprefix("tracekit_")]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / family
        shutil.copytree(ROOT / "plugins" / family, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (Path(folder) / mutant.path.relative_to(ROOT / "plugins")).write_text(mutant.text, encoding="utf-8")
        env = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *map(str, tests)]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False).returncode != 0


def main() -> int:
    """Draw the changes, try them two at a time, print those that nothing noticed and the share of those that were."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=100)
    options.add_argument("--only", default="")
    options.add_argument("--seed", type=int, default=14)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--at-least", type=float, default=85.0)
    given = options.parse_args()
    files = [p for p in sorted((ROOT / "plugins").glob("*/diagnoses/*.py")) if p.stem != "__init__" and given.only in p.stem]
    drawn = [m for path in files for m in mutants(path)]
    if given.count and given.count < len(drawn):
        drawn = random.Random(given.seed).sample(drawn, given.count)
    for path in {m.path.parent: m.path for m in drawn}.values():
        if noticed(Mutant(path, 0, "nothing", path.read_text(encoding="utf-8"))):
            sys.exit(f"the tests of {path.parent.parent.name} fail without a change: mend them first")
    with ThreadPoolExecutor(given.jobs) as pool:
        results = list(zip(drawn, pool.map(noticed, drawn), strict=True))
    for mutant, seen in sorted(results, key=lambda r: (r[0].path, r[0].line)):
        if not seen:
            print(f"not noticed: {mutant.path.relative_to(ROOT)}:{mutant.line}: {mutant.what}")
    share = 100 * sum(seen for _, seen in results) / max(1, len(results))
    print(f"{len(results)} changes, {share:.0f} % noticed")
    return int(share < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
