"""Arguments of calls: what the recorder's names mean.

Best first: a probe's definition (register or `$argN`), the name `argN`, the names a function's parameters are known by; any other value is
kept under the recorder's own name and means nothing.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

import polars as pl

from tracekit_linux.calls.functions import REGISTERS, bare, parameter, signed

# ` vdev=0xff1100 flags=0x24 name="msi-x" data={1,2}`, and in function_graph `pdev=0xff, mode=0 [ALLOW_LEGACY]`.
FIELD = re.compile(r'(?<!\w)(\w++)=("(?:[^"\\]|\\.)*"|\{[^}]{0,4000}\}|[^\s,]+)')
# The same in an argument text of printable characters, for polars.
_PLAIN_FIELD = r'[A-Za-z0-9_]+=(?:"(?:[^"\\]|\\.)*"|\{[^}]*\}|[^ ,]+)'
_LONGEST = 4000  # bytes of an argument text that polars reads
# `vdev=%di`, `index=$arg3:u32`, `ret=$retval:s32`, `hwsize=+0x18(%si):u32` in a definition.
FETCH = re.compile(r"(?:(?<!\w)(\w++)=)?([%$+@\\-]\S*)")

Fetches = Mapping[str, str]


def fields(text: str | None) -> list[tuple[str, str]]:
    """Return the `name=value` pairs of an argument text, in order."""
    return FIELD.findall(text) if text else []


def number(text: str) -> int | None:
    """Return the value as a signed 64-bit pattern, null if it is no number."""
    try:
        return signed(int(text, 16 if text[:2] in ("0x", "0X") else 10), 64)
    except ValueError:
        return None


def fetches(text: str | None) -> dict[str, str]:
    """Return what a definition fetches, by argument name: `{"vdev": "%di", "ret": "$retval"}`."""
    found = {}
    for n, (name, what) in enumerate(FETCH.findall(text or ""), 1):
        found[name or f"arg{n}"] = what.partition(":")[0]
    return found


def pairs_of(args: pl.Series) -> pl.DataFrame:
    """Return (n, name, text) of each `name=value` pair in a column of argument texts, in order; `n` is the row of the text."""
    given = pl.DataFrame([pl.int_range(len(args), dtype=pl.UInt32, eager=True).alias("n"), args.alias("args")]).drop_nulls()
    if (simple := _simple_pairs(given)) is not None:
        return simple
    odd = given["args"].str.contains("[^ -~]") | (given["args"].str.len_bytes() > _LONGEST)
    plain = given.filter(~odd) if odd.any() else given
    items = plain.select("n", pl.col("args").str.extract_all(_PLAIN_FIELD)).explode("args").drop_nulls()
    pairs = items.select("n", pl.col("args").str.splitn("=", 2).struct.rename_fields(["name", "text"]).alias("pair")).unnest("pair")
    if not odd.any():
        return pairs
    more = [(n, name, text) for n, args in given.filter(odd).iter_rows() for name, text in fields(args)]
    return pl.concat([pairs, pl.DataFrame(more, schema=pairs.schema, orient="row")]).sort("n", maintain_order=True)


def _simple_pairs(given: pl.DataFrame) -> pl.DataFrame | None:
    """Return the pairs of texts that are `name=value` with one blank between; null if one is anything else. Most texts are such."""
    if given["args"].str.contains('[^ -~]|["{,]|  ').any() or (given["args"].str.len_bytes() > _LONGEST).any():
        return None
    items = given.select("n", pl.col("args").str.split(" ")).explode("args")
    pairs = items.select("n", pl.col("args").str.splitn("=", 2).struct.rename_fields(["name", "text"]).alias("pair")).unnest("pair")
    names = pairs["name"].unique()
    whole = names.str.contains("^[A-Za-z0-9_]+$").all() and not (pairs["text"].is_null() | (pairs["text"] == "")).any()
    return pairs if whole else None


def numbers(texts: pl.Series) -> pl.Series:
    """Return the values of a column of texts, each as `number` gives it."""
    text = pl.col("text")
    decimal = text.str.to_integer(strict=False)  # what it refuses is left to `number`
    hexadecimal = pl.when(text.str.contains("^0x[0-9a-fA-F]{1,16}$")).then(text).str.strip_prefix("0x")
    pattern = hexadecimal.str.to_integer(base=16, dtype=pl.UInt64, strict=False).reinterpret(signed=True)
    frame = texts.to_frame("text").select("text", pl.coalesce(decimal, pattern).alias("value"))
    left = frame.filter(pl.col("value").is_null())["text"].drop_nulls().unique()
    others = {t: value for t in left if (value := number(t)) is not None}
    if not others:
        return frame["value"]
    return frame.select(pl.coalesce("value", text.replace_strict(others, default=None, return_dtype=pl.Int64)))["value"]


@lru_cache(maxsize=4096)
def meaning(function: str | None, name: str, fetch: str | None) -> str:
    """Return the parameter that the argument `name` of a call is, or `name` itself. `fetch`: what the probe's definition fetches for it."""
    return (parameter(function, name, _argument(fetch or "")) if function else None) or name


def _argument(fetch: str) -> int | None:
    """Return the number of the argument that `%di` or `$arg2` fetches."""
    if fetch.startswith("$arg") and fetch[4:].isdigit():
        return int(fetch[4:]) - 1
    return REGISTERS.get(fetch[1:]) if fetch.startswith("%") else None


def function_of(location: str) -> str | None:
    """Return the function that a definition probes: `vfio_pci_core:vfio_msi_disable+4` is `vfio_msi_disable`; null for addresses."""
    name = re.split(r"[+%]", location.rpartition(":")[2])[0]
    return bare(name) if re.match(r"[A-Za-z_]", name) else None
