"""What expressions are made of."""

import re

NOTHING = r"[^\s\S]"  # an expression that matches no text


def escape(text: str) -> str:
    """Return `text` as an expression that Rust's regex crate and Python read alike."""
    return re.sub(r"([\\.+*?()|\[\]{}^$#&~-])", r"\\\1", text)
