"""What expressions are made of."""

import re
import re._constants as sre  # type: ignore[import-not-found]
import re._parser as sre_parse  # type: ignore[import-not-found]
from collections.abc import Iterable, Iterator
from typing import Any

NOTHING = r"[^\s\S]"  # an expression that matches no text


def escape(text: str) -> str:
    """Return `text` as an expression that Rust's regex crate and Python read alike."""
    return re.sub(r"([\\.+*?()|\[\]{}^$#&~-])", r"\\\1", text)


def holds(expression: str, text: str) -> bool:
    """Return whether every match of an expression holds a text, as far as the fixed characters that stand one behind the other tell."""
    return text in "".join(_fixed(sre_parse.parse(expression)))


def _fixed(parts: Iterable[tuple[Any, Any]]) -> Iterator[str]:
    """Yield the characters that every match has, one after the other, and a line break for whatever else may stand between them."""
    for kind, value in parts:
        if kind is sre.LITERAL:
            yield chr(value)
        elif kind is sre.SUBPATTERN:
            yield from _fixed(value[-1])
        elif kind in (sre.MAX_REPEAT, sre.MIN_REPEAT) and value[0]:
            yield from _fixed(value[-1])
            yield "\n"
        elif kind is not sre.AT:
            yield "\n"
