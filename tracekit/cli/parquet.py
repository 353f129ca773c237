"""Tables as Parquet files, with their nested columns: one file, or a new folder with a file for each table."""

import io
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tracekit.cli.output import complain
from tracekit.errors import OutputError, UsageError
from tracekit.written import put

if TYPE_CHECKING:
    import polars as pl

_NAME = re.compile(r"[A-Za-z0-9_]{1,200}")  # of a table that can name a file


def new(folder: Path) -> None:
    """Check that a folder does not exist or is empty. Errors: UsageError."""
    with suppress(FileNotFoundError):
        if not folder.is_dir() and folder.exists():
            raise UsageError(f"--output {folder}: is a file; give a folder, or a query whose answer is one table")
        if any(folder.iterdir()):
            raise UsageError(f"--output {folder}: is not empty; give a new folder")


def write(table: "pl.DataFrame", path: Path) -> None:
    """Write a table into a file. Errors: OutputError; a file that is written in part is removed."""
    held = io.BytesIO()
    table.write_parquet(held)
    put(held.getvalue(), path)


def write_all(tables: "Mapping[str, pl.DataFrame]", folder: Path) -> None:
    """Write each table into a file of its own. Errors: OutputError; then the files of the others are removed too."""
    made, written = not folder.exists(), list[Path]()
    try:
        os.makedirs(folder, exist_ok=True)
        for name, table in tables.items():
            if not _NAME.fullmatch(name):
                complain(f"the table {name} is left out: no file can have its name")
                continue
            write(table, folder / f"{name}.parquet")
            written.append(folder / f"{name}.parquet")
    except OSError as e:
        raise OutputError(f"cannot write {folder}: {e.strerror}") from e
    except OutputError:
        for path in written:
            path.unlink(missing_ok=True)
        with suppress(OSError):
            if made:
                folder.rmdir()
        raise
