"""Lark's Earley parser: the reference that lowered expressions must agree with, and what parses rules that cannot be lowered."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tracekit.grammar.rules import Rule

if TYPE_CHECKING:
    from lark import Lark


def fields_by_lark(rule: Rule, text: str) -> dict[str, str] | None:
    """Return what lark's Earley parser finds in one message: column -> text, or None if it is no match."""
    from lark.exceptions import LarkError

    try:
        tree = reference(Path(rule.by_lark)).parse(text, start=rule.name)
    except LarkError:
        return None
    first = {c: next(tree.find_data(c), None) for c in rule.groups}
    return {c: "".join(str(t) for t in part.children) for c, part in first.items() if part is not None}


@lru_cache(maxsize=64)
def reference(path: Path) -> "Lark":
    """Return lark's Earley parser of a file, for text of any of its rules. Lowered expressions must agree with it.

    Making one takes longer than a line, so one serves all rules of the file.
    """
    from lark import Lark

    from tracekit.grammar.lowering import import_common, lower_file

    return Lark(
        path.read_text(encoding="utf-8"),
        parser="earley",
        lexer="dynamic_complete",
        start=[rule.name for rule in lower_file(path, [])],
        import_paths=[import_common],
        source_path=str(path),
        keep_all_tokens=True,
    )
