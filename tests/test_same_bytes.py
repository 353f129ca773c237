"""The same input gives the same bytes in every format, whatever the seed of hashes, the locale, the zone and the number of workers and threads."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tracekit_reports import tracekit_reports

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = (
    "vfio.resize-window/fires-guest-disable-then-growth-6.12",
    "msi.stale-hwsize/fires-grown-vector-by-vector",
    "vfio.needless-resize/fires-1-3-6.12",
    "xen.pirq-leak/fires-numbers-fall-to-the-floor",
    "irq.remap-blocked/fires-entry-not-present-6.12",
    "msi.stale-hwsize/quiet-rebind-16-6.12",
)
SCENARIOS = sorted((ROOT / "sample_scenarios").glob("*.toml"))[:1]
FLEET = [r.name for r in tracekit_reports() if hasattr(r, "write_fleet")]
DRIVER = """
import json, sys
from tracekit.cli.main import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["tracekit", *arguments]
    try:
        main()
    except SystemExit as end:
        assert end.code in (0, 1, 3), (arguments, end.code)
"""
WAYS = (
    {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC", "POLARS_MAX_THREADS": "2", "jobs": "1"},
    {"PYTHONHASHSEED": "1", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TZ": "Asia/Tokyo", "POLARS_MAX_THREADS": "1", "jobs": "2"},
    {"PYTHONHASHSEED": "2", "LC_ALL": "de_DE.UTF-8", "TZ": "America/St_Johns", "POLARS_MAX_THREADS": "4", "jobs": "2"},
)  # fmt: skip


def commands(jobs: str) -> list[list[str]]:
    """What writes every format of some samples: reports, a run that is kept and its reports, all tables, a batch and its reports."""
    made = []
    for number, name in enumerate(SAMPLES):
        formats = [part for r in tracekit_reports() for part in ("-f", f"{r.name}={number}.{r.name}")]
        made.append(["analyze", f"samples/{name}", "--width", "100", "--full", *formats, "--save", f"{number}.tracekit"])
        made.append(["query", f"samples/{name}", "-f", "parquet", "-o", f"{number}.tables"])
    trace = f"samples/{SAMPLES[0]}/trace.txt"
    made += [["replay", trace], ["whatif", trace], ["doctor", trace], ["state", trace, "--at", "60"], ["expect", f"samples/{SAMPLES[0]}"]]
    made += [["schema"], ["schema", "windows"], ["explain"], ["explain", "VFIO-002"], ["record", "resize"], ["config", "show"]]
    made += [["simulate", str(scenario), "-f", f] for scenario in SCENARIOS for f in ("terminal", "json")]
    made += [["query", "samples/" + SAMPLES[0], "SELECT * FROM windows", "-f", f, "-o", f"windows.{f}"] for f in ("table", "csv", "json")]
    made.append(["batch", *(f"samples/{name}" for name in SAMPLES), "-o", "results", "-j", jobs])
    made += [["report", "results", "-f", f, "-o", f"fleet.{f}"] for f in FLEET]
    made.append(
        ["query", "results", "SELECT code, grade, count(*) AS n FROM findings GROUP BY code, grade", "-f", "csv", "-o", "codes.csv"]
    )
    return made


def written(folder: Path, way: dict[str, str]) -> dict[str, bytes]:
    """The files that one way of running leaves, but the results of the batch themselves, which hold how long each case took."""
    folder.mkdir()
    (folder / "samples").symlink_to(ROOT / "sample_traces")
    told = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "COLUMNS"))}
    env = {**told, "PYTHONIOENCODING": "utf-8", **{k: v for k, v in way.items() if k.isupper()}}
    command = [sys.executable, "-c", DRIVER, json.dumps(commands(way["jobs"]))]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (folder / "printed.txt").write_text(re.sub(r"(?m), in [0-9.]+ s\.", "", done.stdout), encoding="utf-8")
    files = [p for p in folder.rglob("*") if p.is_file() and p.relative_to(folder).parts[0] not in ("results", "samples")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def german(folder: Path) -> dict[str, str]:
    """Where a German locale is that was made here, with its decimal comma; without the means to make one Python takes C."""
    if shutil.which("localedef"):
        folder.mkdir()
        subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", str(folder / "de_DE.UTF-8")], capture_output=True, check=False)
    return {"LOCPATH": str(folder)}


def test_every_format_has_the_same_bytes(tmp_path: Path) -> None:
    place = german(tmp_path / "locales")
    first, *others = (written(tmp_path / str(i), way | place) for i, way in enumerate(WAYS))
    assert {re.split(r"[./]", p)[1] for p in first} >= {r.name for r in tracekit_reports()} | {"tracekit", "tables", *FLEET}
    for way, other in zip(WAYS[1:], others, strict=True):
        assert other.keys() == first.keys()
        assert [name for name in sorted(first) if other[name] != first[name]] == [], way
