"""Results of a batch: a dataset of parquet files. It stays consistent even if the writer is killed.

A dataset is a folder with `manifest.json`, which names the files that belong to it, and a folder of parquet files for each table. Files
are written under a temporary name, synced and renamed; then a new manifest takes the place of the old one. What no manifest names is not
part of the dataset and is removed by the next writer. A case that is analyzed again has a new row; the last one of each case counts.

The manifest holds the rows, the size and the checksum of every file, so that a reader names each file that is missing, cut or changed
it. The next batch leaves such a part out and analyzes its cases again.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tracekit.batch import lock
from tracekit.batch.rows import SCHEMA, TABLES, Reply
from tracekit.errors import TracekitError

_TYPES: dict[str, pl.DataType] = {
    "text": pl.String(),
    "int": pl.Int64(),
    "real": pl.Float64(),
    "flag": pl.Boolean(),
    "texts": pl.List(pl.String()),
}
_SMALL = 32 << 20  # parts below this many bytes are put together
_MANIFEST = "manifest.json"
_KEYS = frozenset(("parts", "files", "serial", "next", "superseded", "engine", "versions", "complete", "stopped"))
_ANEW = "start the same batch with another folder of results"
_PLAN = {"case": pl.String(), "reason": pl.String()}


class ResultsError(TracekitError):
    """A dataset of results cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of a dataset that is not what was written: its part, its table, and `what` is wrong with it."""

    part: str
    table: str
    what: str

    @property
    def text(self) -> str:
        """Return the file and what is wrong with it, in words."""
        return f"{self.table}/{self.part}.parquet {self.what}"


def is_results(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a dataset of results."""
    try:
        manifest = json.loads((Path(path) / _MANIFEST).read_bytes())
    except OSError:
        return False
    except ValueError:
        manifest = None
    if isinstance(manifest, dict):
        return manifest.get("schema") == SCHEMA
    return (Path(path) / "cases").is_dir()  # a damaged manifest is named by whoever reads it


def schema(table: str) -> dict[str, pl.DataType]:
    """Return the columns of a result table and their types."""
    return {column: _TYPES[kind] for column, kind in TABLES[table].items()}


def frame(table: str, rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    """Return rows of a result table as a frame."""
    return pl.DataFrame(rows, schema=schema(table), orient="row")


class Results:
    """A dataset to read: its manifest, and its tables as lazy frames."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.manifest = self._read_manifest()
        self._sound: set[tuple[str, str]] = set()  # files that were found to be what was written

    @property
    def parts(self) -> list[str]:
        """Return the names of the parts, in the order in which they were written."""
        return list(self.manifest["parts"])

    def table(self, name: str) -> pl.LazyFrame:
        """Return a table without the rows of cases that were analyzed again since. Its files are compared with the manifest now, its rows
        are read when it is collected. Errors: ResultsError where a file is missing, cut or changed."""
        if damage := self.damage([name]):
            more = f" and {len(damage) - 1} more" if len(damage) > 1 else ""
            raise ResultsError(f"{self.path}: {damage[0].text}{more}: start the same batch again, it analyzes these cases anew")
        return self._table(name)

    def damage(self, tables: Iterable[str] = tuple(TABLES)) -> list["Damage"]:
        """Return what is wrong with the files of these tables."""
        wanted = set(tables)
        files = [(part, table) for part in self.parts for table in self.manifest["files"].get(part, {}) if table in wanted]
        return [Damage(part, table, what) for part, table in files if (what := self._wrong(part, table))]

    def _wrong(self, part: str, table: str) -> str:
        """Return what is wrong with one file; empty where it is as written."""
        if (part, table) in self._sound:
            return ""
        size, checksum = (self.manifest["files"][part][table][k] for k in ("bytes", "checksum"))
        file = self.path / table / f"{part}.parquet"
        try:
            found = file.stat().st_size
            if found != size:
                return f"is cut: {found:,} bytes instead of {size:,}" if found < size else "is changed"
            if _checksum(file) != checksum:
                return "is changed"
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        self._sound.add((part, table))
        return ""

    def _table(self, name: str) -> pl.LazyFrame:
        rows = self._scan(name, self.parts)
        if not self.manifest["superseded"]:
            return rows
        if name == "cases":
            return rows.with_row_index("_row").filter(pl.col("_row") == pl.col("_row").max().over("case")).drop("_row")
        live = self._table("cases").select("result").unique()
        return rows.join(live, on="result", how="semi", maintain_order="left")

    @property
    def stopped(self) -> str:
        """Return why the last batch did not end; empty where it did."""
        return "" if self.manifest["complete"] else self.manifest["stopped"] or "the batch was ended from outside"

    def missing(self) -> pl.DataFrame:
        """Return (case, reason) of the last batch's cases without a result; none if it was stopped before it knew its cases."""
        plan = self.path / "plan.parquet"
        if self.manifest["complete"] or not plan.exists():
            return pl.DataFrame(schema=_PLAN)
        engine = self.manifest["engine"]
        done = self.table("cases").filter(pl.col("engine") == engine).select("case")
        try:
            todo = pl.scan_parquet(plan).join(done, on="case", how="anti", maintain_order="left")
            return todo.select("case", pl.lit(self.stopped).alias("reason")).collect()
        except pl.exceptions.PolarsError:
            raise ResultsError(f"{self.path}: {plan.name} is damaged: start the same batch again, it writes a new one") from None

    def _scan(self, name: str, parts: Iterable[str]) -> pl.LazyFrame:
        files = [self.path / name / f"{p}.parquet" for p in parts if name in self.manifest["files"].get(p, {})]
        return pl.scan_parquet(files) if files else pl.LazyFrame(schema=schema(name))

    def _read_manifest(self) -> dict[str, Any]:
        try:
            manifest: dict[str, Any] = json.loads((self.path / _MANIFEST).read_bytes())
            if not isinstance(manifest, dict):
                raise ValueError("no JSON object")
        except FileNotFoundError:
            raise ResultsError(f"{self.path}: no results here (no {_MANIFEST})") from None
        except OSError as error:
            raise ResultsError(f"{self.path}: the results cannot be read: {error}") from error
        except ValueError as error:
            raise ResultsError(f"{self.path}: the results cannot be read: {_MANIFEST} is damaged: {error}; {_ANEW}") from error
        if manifest.get("schema") != SCHEMA:
            raise ResultsError(f"{self.path}: results of another form ({manifest.get('schema')}), this tracekit reads {SCHEMA}")
        if lacking := sorted(_KEYS - manifest.keys()):
            raise ResultsError(f"{self.path}: the results cannot be read: {_MANIFEST} is damaged: it has no {lacking[0]}; {_ANEW}")
        return manifest


class Writer(Results):
    """The dataset that a batch appends to. A lock on the folder allows one writer; the kernel releases it when the process ends."""

    def __init__(self, path: str | os.PathLike[str], engine: str, settings: Mapping[str, Any], versions: Mapping[str, str]) -> None:
        self.path = Path(path)
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
        self._sound = set()
        self.flushed = time.monotonic()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock()
            self.manifest = self._read_manifest() if (self.path / _MANIFEST).exists() else _empty()
            self.dropped = self._drop_damaged()
            self._clean()
            self.manifest |= {"engine": engine, "settings": dict(settings), "versions": dict(versions), "complete": False, "stopped": ""}
            self._write_manifest()
        except OSError as error:
            raise ResultsError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def plan(self, cases: Sequence[str]) -> None:
        """Note which cases this batch is about, so that a report can name those that are missing."""
        frame = pl.DataFrame({"case": cases, "reason": [""] * len(cases)}, schema=_PLAN)
        self._guarded(lambda: self._write(frame, self.path / "plan.parquet"))

    def known(self) -> pl.DataFrame:
        """Return what is known of each case: all columns of `cases`. After damage a case whose rows are gone is not known."""
        known = self.table("cases").collect()
        if not self.dropped:
            return known
        for name in ("findings", "outcomes"):
            counts = self._table(name).group_by("result").agg(pl.len().cast(pl.Int64).alias(f"_{name}")).collect()
            known = known.join(counts, on="result", how="left", maintain_order="left")
        whole = (pl.col("_findings").fill_null(0) == pl.col("findings").fill_null(0)) & pl.col("_outcomes").is_not_null()
        return known.filter((pl.col("status") != "done") | whole).select(TABLES["cases"].keys())

    def _drop_damaged(self) -> list["Damage"]:
        """Remove from the dataset each part of which a file is missing, cut or changed, with its other files."""
        damage = self.damage()
        for part in {d.part for d in damage}:
            self.manifest["parts"].remove(part)
            del self.manifest["files"][part]
        return damage

    def add(self, reply: Reply, engine: str) -> None:
        """Take the result of a case; it is on disk after the next `flush`."""
        number = self.manifest["next"]
        self.manifest["next"] = number + 1
        of_case = (number, reply.case)
        facts = [reply.facts.get(c) for c in ("machine", "kernel", "qemu", "xen", "sources", "lines", "findings")]
        told = (reply.status, reply.kind, reply.reason, *facts, reply.bytes, reply.seconds, reply.digest, reply.mark, engine)
        self._rows["cases"].append((*of_case, *told, list(reply.facts.get("doubts", ()))))
        for table, rows in reply.tables.items():
            self._rows[table] += [(*of_case, *row) for row in rows]
        if reply.status == "failed":
            self._rows["failures"].append((*of_case, "", reply.kind, reply.reason))

    def same(self, row: Mapping[str, Any], mark: str) -> None:
        """Note that a case was touched but holds what it held: its row of `cases` stays, with a new mark."""
        self._rows["cases"].append(tuple({**row, "mark": mark}[c] for c in TABLES["cases"]))

    @property
    def waiting(self) -> int:
        """Return how many cases are not on disk yet."""
        return len(self._rows["cases"])

    def flush(self) -> None:
        """Write what is waiting as one part: all of it becomes part of the dataset, or nothing. Errors: ResultsError."""
        self.flushed = time.monotonic()
        if not self.waiting:
            return
        frames = {name: frame(name, rows) for name, rows in self._rows.items()}
        self._guarded(lambda: self.add_part(frames))
        self._rows = {name: [] for name in TABLES}

    def finish(self, stopped: str = "") -> None:
        """Write what is waiting, put small parts together, and note whether the batch came to its end."""
        self.flush()
        if not stopped:
            self._guarded(self._compact)
        self.manifest |= {"complete": not stopped, "stopped": stopped}
        self._guarded(self._write_manifest)

    def _compact(self) -> None:
        """Put small parts together, and all parts if some of their rows do not count any more."""
        parts = self.parts
        old = parts if self.manifest["superseded"] else [p for p in parts if self._size(p) < _SMALL]
        if len(old) < 2 and not self.manifest["superseded"]:
            return
        frames = {name: (self.table(name) if self.manifest["superseded"] else self._scan(name, old)).collect() for name in TABLES}
        self.add_part(frames, replaces=old)
        self._clean()

    def add_part(self, frames: Mapping[str, pl.DataFrame], replaces: Sequence[str] = ()) -> None:
        """Write one part: the frames of all tables, in the place of the parts that it replaces."""
        part = f"{self.manifest['serial']:08d}"
        written = {}
        for name, frame in frames.items():
            if frame.height or name == "cases":
                file = self.path / name / f"{part}.parquet"
                self._write(frame, file)
                written[name] = {"rows": frame.height, "bytes": file.stat().st_size, "checksum": _checksum(file)}
                self._sound.add((part, name))
        cases = frames["cases"]["case"]
        known = self._scan("cases", [p for p in self.parts if p not in replaces]).select("case")
        again = cases.len() != cases.n_unique() or not known.filter(pl.col("case").is_in(cases.implode())).head(1).collect().is_empty()
        kept = [p for p in self.parts if p not in replaces]
        position = self.parts.index(replaces[0]) if replaces else len(kept)
        manifest = {
            "serial": self.manifest["serial"] + 1,
            "parts": [*kept[:position], part, *kept[position:]],
            "files": {**{p: f for p, f in self.manifest["files"].items() if p in kept}, part: written},
            "superseded": bool(again or (self.manifest["superseded"] and not replaces)),
        }
        before = dict(self.manifest)
        self.manifest |= manifest
        try:
            self._write_manifest()
        except OSError:
            self.manifest = before
            raise

    def _write(self, frame: pl.DataFrame, file: Path) -> None:
        """Write a file so that it is there whole or not at all, also after the power went."""
        file.parent.mkdir(exist_ok=True)
        partial = file.with_suffix(".partial")
        try:
            with partial.open("wb") as out:
                frame.write_parquet(out, compression="zstd")
                out.flush()
                os.fsync(out.fileno())
            partial.replace(file)
            _sync(file.parent)
        except (OSError, pl.exceptions.PolarsError):
            with suppress(OSError):
                partial.unlink()
            raise

    def _write_manifest(self) -> None:
        partial = self.path / f"{_MANIFEST}.partial"
        with partial.open("w", encoding="utf-8") as out:
            json.dump(self.manifest, out, indent=1, sort_keys=True)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(self.path / _MANIFEST)
        _sync(self.path)

    def _clean(self) -> None:
        """Remove files that no manifest names: those of a writer that was killed, and those of parts that were merged."""
        named = set(self.parts)
        for file in [*self.path.glob("*/*"), *self.path.glob("*.partial")]:
            if file.is_file() and (file.suffix == ".partial" or (file.parent.name in TABLES and file.stem not in named)):
                file.unlink()

    def _size(self, part: str) -> int:
        return sum(file["bytes"] for file in self.manifest["files"][part].values())

    def _lock(self) -> None:
        held = lock.taken(self.path)
        if held is None:
            raise ResultsError(f"{self.path}: another batch is writing there")
        self._held = held

    def _guarded(self, write: Any) -> None:
        try:
            write()
        except (OSError, pl.exceptions.PolarsError) as error:
            free = shutil.disk_usage(self.path).free
            told = f"{getattr(error, 'strerror', None) or error} ({free >> 20} MiB free)"
            raise ResultsError(f"{self.path}: cannot be written: {told}; what was written before is kept, start again to go on") from error


def _empty() -> dict[str, Any]:
    return {"schema": SCHEMA, "tables": TABLES, "parts": [], "files": {}, "serial": 1, "next": 1, "superseded": False}


def _checksum(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _sync(folder: Path) -> None:
    """Make a rename in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
