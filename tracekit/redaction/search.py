"""Find the few lines that an expression can match by an engine that does not look around, and change these alone."""

import re
from collections.abc import Callable, Sequence

import polars as pl

_LOOKS = re.compile(r"\(\?<?[!=][^()]*\)")
_CLASS = re.compile(r"(?<!\\)\[(?:\\.|[^\[\]\\])++\]")
Change = Callable[[str], str]


def sign(expression: re.Pattern[str]) -> str:
    """Return what every match of an expression matches too, for polars: the expression without what it looks at around it."""
    plain = _LOOKS.sub("", expression.pattern).replace("(?P<v>", "(?:")
    plain = _CLASS.sub(lambda m: m[0].replace(r"\w", "0-9A-Za-z_").replace(r"\s", r" \t"), plain)
    for wide, narrow in ((r"\w", "[0-9A-Za-z_]"), (r"\S", r"[^ \t]"), (r"\s", r"[ \t]"), (r"\b", r"(?-u:\b)")):  # ASCII is searched sooner
        plain = plain.replace(wide, narrow)
    return f"(?:{'(?i)' if expression.flags & re.I else ''}{plain})"


def changed(data: bytes, steps: Sequence[tuple[str, Change]]) -> bytes:
    """Return whole lines after each (sign, change), in this order; a change is handed the lines that its sign is found in, and adds or
    removes none. The bytes of all other lines stay as they are."""
    lines = pl.Series("line", data.decode("utf-8", "replace").split("\n"), dtype=pl.String)
    which = lines.str.contains("|".join(told for told, _ in steps)).arg_true()
    if which.is_empty():
        return data
    pieces, near = data.split(b"\n"), lines[which]
    for told, change in steps:
        hits = near.str.contains(told).arg_true()
        if hits.is_empty():
            continue
        places = which[hits].to_list()
        text = b"\n".join([pieces[i] for i in places]).decode("utf-8", "surrogateescape")
        if (fresh := change(text)) == text:
            continue
        raw = fresh.encode("utf-8", "surrogateescape").split(b"\n")
        for i, piece in zip(places, raw, strict=True):
            pieces[i] = piece
        near = near.scatter(hits, [piece.decode("utf-8", "replace") for piece in raw])
    return b"\n".join(pieces)
