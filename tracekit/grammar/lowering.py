"""One grammar file into lowered rules: what lark loaded, as one-pass regular expressions."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracekit.errors import GrammarError
from tracekit.grammar.forms import forms
from tracekit.grammar.marks import Marked
from tracekit.grammar.marks import read as read_marks
from tracekit.grammar.pattern import Alt, Lit, Node, Opt, Seq, Term, ambiguous, literals, regex, shape
from tracekit.grammar.rules import Rule, built_in_folder
from tracekit.types import ENVELOPE

if TYPE_CHECKING:
    pass

MIN_LITERAL = 5


def lower_file(path: Path, warnings: list[str] | None = None) -> Iterator[Rule]:
    """Yield the event rules of one grammar file, lowered. Errors: GrammarError naming the file and the rule.

    With a list for `warnings`, a rule that cannot be lowered, or is not one-pass, is noted there and kept.
    """
    try:
        text = path.read_text(encoding="utf-8")
        rules, terminals = _load_lark(text, path)
    except Exception as e:
        raise GrammarError(f"{path}: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else e}") from e
    comments = _comments(text)
    lowering = _Lowering(rules, terminals, path, comments | _behind(text))
    starts = lowering.starts()
    marked = read_marks(path, text, starts)
    for name in starts:
        try:
            yield lowering.rule(name, comments.get(name, ""), marked[name], warnings)
        except GrammarError:
            raise
        except Exception as e:
            raise GrammarError(f"{path.name}: {name}: {e}") from e


class _Lowering:
    """The rules of one file, as lark loaded them, and their patterns."""

    def __init__(self, rules: Mapping[str, Any], terminals: Mapping[str, Node], path: Path, comments: Mapping[str, str]) -> None:
        self.rules, self.terminals, self.path, self.file = rules, terminals, path, path.name
        self.comments = comments
        self.lenient = False
        self.unlowered = ""
        # Envelope rules fill the envelope columns; event rules must leave them alone.
        self.envelopes = path.parent.name == "envelopes"
        self.reserved = frozenset() if self.envelopes else frozenset(ENVELOPE)

    def starts(self) -> list[str]:
        """Return the rules that `start` lists."""
        return [str(getattr(v.children[0], "name", v.children[0])) for v in self.rules["start"].find_data("value")]

    def rule(self, name: str, doc: str, marked: Marked, warnings: list[str] | None = None) -> Rule:
        """Return one rule that `start` lists, lowered; `doc` is the comment above it."""
        self.lenient, self.unlowered = warnings is not None, ""
        fields: dict[str, list[str]] = {}
        kinds: dict[str, str] = {}
        node = self._node(self.rules[name], fields, kinds, (name,))
        if clash := sorted(self.reserved & set(fields)):
            raise GrammarError(f"{self.file}: {name}: field {clash[0]} has the name of an envelope column; choose another")
        marked.check(fields)
        marks = marked.marks
        if (bad := self.unlowered or ambiguous(node, frozenset(marks.not_one_pass))) and warnings is not None:
            warnings.append(f"{self.file}: {name}: {bad}" if self.unlowered else f"{self.file}: {name}: not one-pass, so it is slow: {bad}")
        elif bad:
            raise GrammarError(f"{self.file}: {name}: not one-pass: {bad}")
        texts = literals(node, MIN_LITERAL)
        strong = texts if texts and min(map(len, texts)) >= MIN_LITERAL else ()
        groups = {c: tuple(g) for c, g in fields.items()}
        by_lark = str(self.path) if self.unlowered else ""
        said = {c: self.comments[c] for c in kinds if self.comments.get(c)}
        form = "" if strong else shape(node)
        ways = () if by_lark or self.envelopes else forms(node)
        return Rule(name, f"^{regex(node)}$", groups, kinds, strong, form, doc, self.file, marked.line, marks, by_lark, said, forms=ways)

    def _node(self, tree: Any, fields: dict[str, list[str]], kinds: dict[str, str], path: tuple[str, ...]) -> Node:
        """Return the pattern of a tree of lark's grammar loader; fields met on the way are noted in `fields` and `kinds`."""

        def sub(t: Any) -> Node:
            return self._node(t, fields, kinds, path)

        match tree.data:
            case "expansions":
                branches = [sub(c) for c in tree.children]
                return branches[0] if len(branches) == 1 else Alt(tuple(branches))
            case "expansion":
                return Seq(tuple(sub(c) for c in tree.children))
            case "alias":
                return sub(tree.children[0])
            case "maybe":
                return Opt(sub(tree.children[0]))
            case "expr" if str(tree.children[1]) == "?":
                return Opt(sub(tree.children[0]))
            case "literal":
                return self._literal(str(tree.children[0]))
            case "value":
                return self._value(tree.children[0], fields, kinds, path)
        return self._unlowered(f"{tree.data} cannot be lowered; event rules are flat", path[0])

    def _unlowered(self, why: str, rule: str) -> Node:
        """Return a part that only lark can parse: an error in a built-in grammar, else it may hold anything."""
        if not self.lenient:
            raise GrammarError(f"{self.file}: {rule}: {why}")
        self.unlowered = why
        return Term("", ".*")

    def _literal(self, token: str) -> Node:
        if token.startswith("/"):
            return Term("", token[1 : token.rindex("/")])
        flags = token[token.rindex('"') + 1 :]
        text = ast.literal_eval(token[: token.rindex('"') + 1])
        return Term("", f"(?i:{re.escape(text)})") if "i" in flags else Lit(text)

    def _value(self, child: Any, fields: dict[str, list[str]], kinds: dict[str, str], path: tuple[str, ...]) -> Node:
        if getattr(child, "data", None) is not None:
            return self._node(child, fields, kinds, path)
        name = str(getattr(child, "name", child))
        if name in self.terminals:
            return self.terminals[name]
        if name in path:
            return self._unlowered(f"rule {name} is recursive; event rules are flat", path[0])
        if (terminal := self._terminal_of(name)) is not None:
            groups = fields.setdefault(name, [])
            groups.append(name if not groups else f"{name}__{len(groups)}")
            kinds[name] = terminal[0]
            return Term(groups[-1], terminal[1], name)
        return self._node(self.rules[name], fields, kinds, (*path, name))

    def _terminal_of(self, name: str) -> tuple[str, str] | None:
        """Return (terminal, expression) if the rule is a field rule, that is, names exactly one terminal; `_rules` are always inlined."""
        if name.startswith("_") or name not in self.rules:
            return None
        leaves = list(self.rules[name].scan_values(lambda _: True))
        if len(leaves) != 1 or len(list(self.rules[name].find_data("maybe"))):
            return None
        leaf = str(getattr(leaves[0], "name", leaves[0]))
        if leaf in self.terminals:
            known = self.terminals[leaf]
            return leaf, known.expression if isinstance(known, Term) else regex(known)
        if leaf.startswith("/"):
            return "", leaf[1 : leaf.rindex("/")]
        return ("", regex(self._literal(leaf))) if leaf.startswith('"') else None


def _load_lark(text: str, path: Path) -> tuple[dict[str, Any], dict[str, Node]]:
    """Return the rule trees and terminal expressions of a grammar text, checked by lark."""
    from copy import deepcopy

    from lark.load_grammar import load_grammar

    grammar, _ = load_grammar(text, str(path), [import_common], False)  # type: ignore[no-untyped-call]
    rules: dict[str, Any] = {str(name): deepcopy(tree) for name, _, tree, _ in grammar.rule_defs}
    if "start" not in rules:
        raise GrammarError(f"{path}: no rule 'start'")
    terminals, _, ignored = grammar.compile(["start"], "*")
    if ignored:
        raise GrammarError(f"{path}: %ignore is not allowed: every blank is written")
    return rules, {t.name: _terminal(t.pattern) for t in terminals}


def _terminal(pattern: Any) -> Node:
    """Return a terminal as lark compiled it: a fixed text stays one, so that it can serve as a prefilter."""
    return Lit(pattern.value) if pattern.type == "str" and not pattern.flags else Term("", pattern.to_regexp())


def import_common(_base: str | None, grammar_path: str) -> tuple[str, str]:
    """Resolve an import for lark: `.common` is the built-in `common.lark`."""
    if grammar_path != "common.lark":
        raise OSError(grammar_path)
    path = built_in_folder() / "common.lark"
    return str(path), path.read_text(encoding="utf-8")


def _comments(text: str) -> dict[str, str]:
    """Return the comment block directly above each rule."""
    found: dict[str, str] = {}
    block: list[str] = []
    for line in text.splitlines():
        if line.startswith("//!"):
            continue
        if line.startswith("//"):
            block.append(line[2:].strip())
            continue
        if m := re.match(r"[?!]?([a-z_][a-z0-9_]*)\s*:", line):
            found[m[1]] = " ".join(block)
        block = []
    return found


def _behind(text: str) -> dict[str, str]:
    """Return the comment behind each field rule: `queue: DEC // Number of the queue.`"""
    return dict(re.findall(r"^([a-z][a-z0-9_]*): (?:[A-Z_]+|/.+/|\"[^\"]+\") // (.+)$", text, re.MULTILINE))
