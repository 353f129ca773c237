"""Text that shows all that is in it: what a terminal obeys, what turns or hides text, and what is no character is written out."""

import re

# Printable by Unicode, and yet nothing is seen: fillers, joiners, variation selectors.
_HIDDEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_FORMULA = frozenset("=+-@\t\r＝＋－＠")


def visible(text: str, keep: str = "") -> str:
    """Return a text in which controls, signs that turn or hide text, lone surrogates and what is no character are written out (`\\x1b`,
    `\\u202e`, `\\U000e0041`); the characters of `keep` stay."""
    if text.isprintable() and not _HIDDEN.search(text):
        return text
    return "".join(c if c in keep or (c.isprintable() and not _HIDDEN.match(c)) else _written(ord(c)) for c in text)


def _written(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def csv_cell(value: object) -> str:
    """Return a value as text that no spreadsheet takes for a formula: an apostrophe stands before `= + - @`, tab and CR. Numbers stay."""
    text = "" if value is None else str(value)
    formula = text.lstrip()[:1] in _FORMULA or text[:1] in _FORMULA
    shown = visible(text.replace("\t", " "))
    return f"'{shown}" if formula and text.strip() and not _NUMBER.fullmatch(text) else shown
