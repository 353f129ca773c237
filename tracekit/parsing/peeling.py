"""Peeling: take settled envelopes off the lines of a frame, layer by layer, and fill in the envelope columns."""

import re
from collections.abc import Mapping, Sequence
from functools import cache

import polars as pl

from tracekit.grammar.rules import Rule
from tracekit.parsing.stamps import STAMPS
from tracekit.speed import compiled

_RAW = ": __probe_"
_RAW_PROBES = (
    (r": __probe_ip=([0-9a-f]+)", ": (${1})"),
    (r": __probe_func=([0-9a-f]+) __probe_ret_ip=([0-9a-f]+)", ": (${1} <- ${2})"),
)
_WHOLE = "whole_match"
_NAME = r"\(\?P<[^>]*>"  # how a group with a name begins
MANY = 20_000  # lines of which it pays to look whether they have few heads
_SOME, _OWN = 1_000, 0.25  # lines that tell it, one after the other, and the share of them that may have a head of its own
_TO_THE_END = "[^\n]*)$"  # how an expression ends whose message is the rest of the line

COLUMNS: dict[str, pl.Expr] = {
    "source": pl.lit(None, dtype=pl.String),  # filled in later
    "boot": pl.lit(0, dtype=pl.Int32),
    "ts": pl.lit(None, dtype=pl.Int64),
    "ts_raw": pl.lit(None, dtype=pl.String),
    "machine": pl.lit(""),
    "side": pl.lit("kernel"),
    "on_cpu": pl.lit(None, dtype=pl.Int32),
    "task": pl.lit(None, dtype=pl.String),
    "tid": pl.lit(None, dtype=pl.Int64),
    "tag": pl.lit(None, dtype=pl.String),
    "envelope": pl.lit("none"),
}


def fresh(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame to peel: the text as `msg`, and empty envelope columns."""
    at = pl.int_range(pl.len(), dtype=pl.UInt32).alias("_at")
    return frame.select(at, pl.exclude("text"), pl.col("text").alias("msg"), **COLUMNS)


def per_file(rule: Rule) -> bool:
    """Return whether a rule's shape is too common to be believed on single lines."""
    return rule.marks.believed == "in-half"


def peel_layers(frame: pl.DataFrame, layers: Sequence[Sequence[Rule]]) -> pl.DataFrame:
    """Take all layers off, outermost first."""
    for layer in layers:
        frame = _peel_layer(frame, layer)
    return frame


def _peel_layer(frame: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """Take one layer off: each rule takes the lines that those before it missed."""
    done: list[pl.DataFrame] = []
    rest = frame
    for rule in rules:
        if rest.is_empty():
            break
        # What is decided per file is so common a shape that a line with an envelope already is not looked at.
        apart = rest["envelope"] != "none" if per_file(rule) else rest["envelope"] == "none" if rule.marks.believed == "behind" else None
        aside = rest.clear() if apart is None else rest.filter(apart)
        hits, taken, left = _match(rest.filter(~apart) if apart is not None and aside.height else rest, rule)
        if hits:
            done.append(_taken(taken, rule))
            rest = pl.concat([left, aside]) if aside.height else left
    if not done:
        return frame
    return done[0] if rest.is_empty() and len(done) == 1 else pl.concat([*done, rest]).sort("_at")


def _match(frame: pl.DataFrame, rule: Rule) -> tuple[int, pl.DataFrame, pl.DataFrame]:
    """Return (how many lines match, these with the groups captured, the others)."""
    groups = groups_of(frame["msg"], rule.regex)
    missed = groups[_WHOLE].null_count()
    if missed == frame.height:
        return 0, frame.clear(), frame
    hits, hit = frame.height - missed, groups[_WHOLE].is_not_null()
    groups.columns = ["=" + name for name in groups.columns]
    both = frame.hstack(groups.get_columns())
    return (hits, both, frame.clear()) if hits == frame.height else (hits, both.filter(hit), frame.filter(~hit))


def groups_of(text: pl.Series, regex: str) -> pl.DataFrame:
    """Return what an expression captures of each text; a message that is the rest of the line is cut off instead, in half the time."""
    parts = before_message(regex)
    if parts is None or text.str.contains("\n", literal=True).any():
        return text.str.extract_groups(f"(?P<{_WHOLE}>{regex})").struct.unnest()
    head, begin, name = parts
    if len(text) >= MANY and (groups := _by_heads(text, *parts)) is not None:
        return groups
    groups = text.str.extract_groups(f"^(?P<{_WHOLE}>{head}){begin}").struct.unnest()
    rest = pl.DataFrame([text.alias("text"), groups[_WHOLE]]).select(pl.col("text").str.strip_prefix(pl.col(_WHOLE)).alias(name))
    return groups.hstack(rest)


def _by_heads(text: pl.Series, head: str, begin: str, name: str) -> pl.DataFrame | None:
    """Return what is captured of lines of which many have the same head, from each head once: saves 13 % of a function graph.

    None where lines have heads of their own, as with stamps, or where a head alone ends elsewhere than before a message. A bound of a word
    looks at the character behind the head.
    """
    if r"\b" in head.lower():
        return None
    plain = f"^(?:{re.sub(_NAME, '(?:', head)})"
    if text.slice(len(text) // 2, _SOME).str.extract(f"({plain})").n_unique() > _SOME * _OWN:
        return None
    lines = pl.DataFrame([text.alias("text"), text.str.replace(plain, "").alias(name)])
    hit = lines[name].str.len_bytes() < text.str.len_bytes()
    if (hit & ~lines[name].str.contains("^" + begin)).any():
        return None
    before = pl.col("text").str.strip_suffix(pl.col(name))
    lines = lines.select(pl.when(hit).then(before).alias(_WHOLE), pl.when(hit).then(name).alias(name))
    heads = lines[_WHOLE].unique().drop_nulls()
    groups = heads.to_frame().hstack(heads.str.extract_groups(f"^(?:{head})$").struct.unnest())
    return lines.join(groups, on=_WHOLE, how="left", maintain_order="left").select(*groups.columns, name)


@cache
def before_message(regex: str) -> tuple[str, str, str] | None:
    """Return expressions of (what stands before a message that is the rest of the line, its begin), and the name of the message."""
    head, named, rest = regex.partition("(?P<msg")
    name, _, begin = rest.partition(">")
    if not (named and head.startswith("^") and begin.endswith(_TO_THE_END)) or "(?P<msg" in begin:
        return None
    try:
        head, begin = (compiled(part).pattern for part in (head[1:], begin.removesuffix(_TO_THE_END)))
    except re.error:  # the message stands inside of an alternative
        return None
    return head, f"(?:{begin})", f"msg{name}"


def _taken(frame: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Return the matched lines with the envelope columns that the rule fills."""
    columns = [c for c in frame.columns if not c.startswith("=")]
    own = {c: pl.coalesce(["=" + g for g in groups]) for c, groups in rule.groups.items()}
    taken = frame.with_columns(**_filled(own, rule))[columns]
    written = _WRITTEN.get(rule.marks.tracer)
    return written(taken) if written else taken


def _filled(own: Mapping[str, pl.Expr], rule: Rule) -> dict[str, pl.Expr]:
    """Return the new values of the envelope columns, given the rule's fields."""
    message = next((text for field, text in own.items() if means(field, "msg")), pl.lit(""))
    new: dict[str, pl.Expr] = {"msg": message.fill_null("")}
    if stamps := [c for c in own if c in STAMPS and not (c == "delta" and "stamp" in own)]:
        raw = pl.coalesce([own[c] for c in stamps])
        new["ts"] = pl.when(raw.is_null()).then("ts").otherwise(pl.coalesce([STAMPS[c][0](own[c]) for c in stamps]))
        if "took" in own:
            # perf trace puts the stamp of its entry before the line of a call that returns: `... [continued]: ioctl())`.
            took = STAMPS["stamp_ms"][0](own["took"]).fill_null(0)
            new["ts"] += pl.when(message.str.starts_with("... [continued]")).then(took).otherwise(0)
        new["ts_raw"] = pl.coalesce(raw, "ts_raw")
        new["envelope"] = pl.when(raw.is_null() & (pl.col("envelope") != "none")).then("envelope").otherwise(pl.lit(rule.name))
    else:
        new["envelope"] = pl.when(pl.col("envelope") == "none").then(pl.lit(rule.name)).otherwise("envelope")
    if tasks := [text.str.strip_chars(" ") for field_name, text in own.items() if means(field_name, "task")]:
        new["task"] = pl.coalesce(*tasks, "task")
    if tags := [text for field_name, text in own.items() if means(field_name, "tag")]:
        new["tag"] = pl.coalesce(*tags, "tag")
    if "host" in own:
        new["machine"] = pl.coalesce(own["host"], "machine")
    if "on_cpu" in own:
        new["on_cpu"] = pl.coalesce(own["on_cpu"].str.to_integer(dtype=pl.Int32, strict=False), "on_cpu")
    if "tid" in own:
        new["tid"] = pl.coalesce(own["tid"].str.to_integer(strict=False), "tid")
    return {**new, **_caller(own), **_side(own, rule)}


def means(field_name: str, meaning: str) -> bool:
    """Return whether a field has a meaning: by its name, or by the start of it where a rule or file needs several forms (`msg_word`)."""
    return field_name == meaning or field_name.startswith(f"{meaning}_")


def _caller(own: Mapping[str, pl.Expr]) -> dict[str, pl.Expr]:
    """Read a caller: `T123` is a thread, `C1` a CPU in interrupt context."""
    if "caller" not in own:
        return {}
    number = own["caller"].str.slice(1).str.to_integer(strict=False)
    thread = own["caller"].str.starts_with("T")
    return {
        "tid": pl.when(thread).then(number).otherwise("tid"),
        "on_cpu": pl.when(~thread).then(number.cast(pl.Int32)).otherwise("on_cpu"),
    }


def _side(own: Mapping[str, pl.Expr], rule: Rule) -> dict[str, pl.Expr]:
    """Return who printed the line: the hypervisor, a guest's console, or the device model."""
    if "side_mark" in own:
        mark = own["side_mark"]
        guest = pl.lit("guest") + mark.str.extract("([0-9]+)")
        return {"side": pl.when(mark == "(XEN)").then(pl.lit("hypervisor")).otherwise(guest)}
    if rule.marks.side:
        return {"side": pl.lit(rule.marks.side)}
    if "tag" in own:
        return {"side": pl.when(own["tag"].str.contains("^(?:/.*/)?qemu")).then(pl.lit("device-model")).otherwise("side")}
    return {}


def _named(frame: pl.DataFrame) -> pl.DataFrame:
    """Write event names as other tracers do, with one blank behind them: trace-cmd pads them; with `-R` addresses of probes are fields."""
    msg = frame["msg"].str.replace("^([A-Za-z_][A-Za-z0-9_.]*):  +", "${1}: ")
    for raw, written in _RAW_PROBES if msg.str.contains(_RAW, literal=True).any() else ():
        msg = msg.str.replace(raw, written)
    return frame.with_columns(msg)


def _barred(frame: pl.DataFrame) -> pl.DataFrame:
    """Write calls as they stand behind a column of durations, which has the marks of interrupts too: `? us |  f();`."""
    msg = (
        pl.col("msg")
        .str.replace(r"^( *)([A-Za-z_].*\) \{.*|/\*.*)$", "|  ${1}${2}")
        .str.replace("^( *)([A-Za-z_}].*)$", "? us |  ${1}${2}")
    )
    return frame.with_columns(msg=msg.str.replace("^ *([=<]=.*)$", "${1} |"))


_WRITTEN = {"padded-name": _named, "plain-calls": _barred}
