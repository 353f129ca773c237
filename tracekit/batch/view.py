"""Results under the user's settings: known and suppressed findings are left out and counted. The dataset is not changed."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import polars as pl

from tracekit.batch.results import Results
from tracekit.bdf import full_bdf
from tracekit.config.control import Control, Suppression

_KNOWN = ("fingerprint", "machine", "device")  # how a baseline knows a finding


@dataclass(frozen=True)
class _Divided:
    """Hold the findings that are reported, and (by, result) of those that are not."""

    kept: pl.DataFrame
    hidden: pl.DataFrame


class View(Results):
    """A dataset to read, with the user's settings applied."""

    def __init__(self, path: str | os.PathLike[str], control: Control, today: date) -> None:
        super().__init__(path)
        self.control = control
        self.today = today

    def table(self, name: str) -> pl.LazyFrame:
        """Return a table; of the findings those that are reported. Errors: ResultsError."""
        return super().table(name) if name != "findings" or self.control == Control() else self._divided.kept.lazy()

    @property
    def suppressed(self) -> int:
        """Return how many graded findings are not reported."""
        return 0 if self.control == Control() else self._divided.hidden.height

    def notes(self) -> Iterator[str]:
        """Yield what the user should know: what the settings say of themselves, what each keeps out, and whether a batch must run again."""
        yield from self.manifest.get("settings", {}).get("changes", ())
        if self.control == Control():
            return
        hidden = self._divided.hidden
        yield from self.control.notes(set(hidden["by"]), self.today)
        counts = hidden.group_by("by").agg(pl.len().alias("findings"), pl.col("result").n_unique()).sort("by")
        for by, findings, cases in counts.iter_rows():
            yield f"suppressed by {by}: {findings:,} {_plural('finding', findings)} in {cases:,} {_plural('case', cases)}"
        stored = Control.of_asked(self.manifest.get("settings", {}).get("asked", ""))
        if dict(stored.settings) != json.loads(json.dumps(dict(self.control.settings))) or stored.left_out - self.control.left_out:
            yield "the batch was analyzed with other settings of diagnoses than these: start it again"

    @cached_property
    def _divided(self) -> _Divided:
        control, left_out = self.control, sorted(self.control.left_out)
        found = super().table("findings").filter(~pl.col("code").is_in(left_out)).collect()
        cause = pl.when(~pl.col("explained_by").is_in(left_out)).then(pl.col("explained_by"))
        severity = pl.col("code").replace_strict(dict(control.severities), default=pl.col("severity"), return_dtype=pl.String)
        found = found.with_columns(severity.alias("severity"), cause.alias("explained_by"))
        by = [pl.when(_meant(s)).then(pl.lit(str(s))) for s in control.suppressions if not s.expired(self.today)]
        found = _with_known(found, control).with_columns(pl.coalesce(*by, "_known").alias("by"))
        hidden, kept = found.filter(pl.col("by").is_not_null()), found.filter(pl.col("by").is_null())
        alone = hidden.select("result", "code").unique().join(kept, on=["result", "code"], how="anti")
        follows = kept.join(alone, left_on=["result", "explained_by"], right_on=["result", "code"], how="semi")
        follows = follows.with_columns((pl.lit("follows from ") + pl.col("explained_by")).alias("by"))
        kept = kept.join(follows, on=["result", "finding"], how="anti", maintain_order="left")
        told = pl.concat([hidden, follows]).filter(pl.col("grade").is_not_null())
        return _Divided(kept.drop("by", "_known"), told.select("by", "result"))


def _meant(s: Suppression) -> pl.Expr:
    """Return whether a row is what a suppression means; results hold no other names of a device than the one that is printed."""
    parts = [pl.col("code").is_in(sorted(s.codes))] if s.code else []
    parts += [pl.col("fingerprint") == s.fingerprint] if s.fingerprint else []
    if s.device:
        full = full_bdf(s.device.lower())
        names = [s.device.lower(), full, full.removeprefix("0000:")]
        parts.append(pl.col("subject").str.to_lowercase().is_in(names) | pl.col("bdf").str.to_lowercase().is_in(names).fill_null(False))
    return pl.all_horizontal(*parts)


def _with_known(found: pl.DataFrame, control: Control) -> pl.DataFrame:
    """Add what to say of findings that the baseline has (`_known`): those of its shape, device and machine, if it names one."""
    bdfs = {b: full_bdf(b) for b in found["bdf"].drop_nulls().unique()}
    label = pl.when(pl.col("kind") == "unknown").then(pl.lit("")).otherwise(pl.col("subject"))
    device = pl.coalesce(pl.col("bdf").replace_strict(bdfs, default=None, return_dtype=pl.String), label)
    known = pl.DataFrame(sorted(control.known), schema=dict.fromkeys(_KNOWN, pl.String), orient="row")
    keyed = found.with_columns(device.alias("_device"), pl.col("machine").fill_null("").alias("_machine"))
    says = pl.lit(f"baseline {control.baseline}").alias("_known")
    given: dict[str, Any] = {"left_on": ["fingerprint", "_machine", "_device"], "right_on": list(_KNOWN), "how": "semi"}
    graded = keyed.filter(pl.col("grade").is_not_null())
    same = [graded.join(known, **given), graded.with_columns(pl.lit("").alias("_machine")).join(known, **given)]
    rows = pl.concat(same).select("result", "finding").unique().with_columns(says)
    return found.join(rows, on=["result", "finding"], how="left", maintain_order="left")


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
