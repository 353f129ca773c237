"""Replace values and names by tokens: in a text, in the bytes of whole lines, in a path."""

import json
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from functools import partial

from tracekit.redaction.contexts import CONTEXTS, Context
from tracekit.redaction.names import Names
from tracekit.redaction.search import Change, changed, sign
from tracekit.redaction.tokens import TOKEN, Tokens
from tracekit.redaction.values import BEGIN, DOMAIN, MAIL, SHAPES, Shape

_ARRAY = re.compile(r'"MESSAGE" ?: ?\[([0-9, ]+)\]')  # journald's JSON has a message with control characters as numbers
_SEARCHED = 2000  # names that one search looks for; where there are more, every line is looked at closely
_PUBLIC = (
    "freedesktop.org",
    "kernel.org",
    "debian.org",
    "ubuntu.com",
    "redhat.com",
    "gnu.org",
    "qemu.org",
    "lists.xenproject.org",
)  # of software, not of its user


class Redactor:
    """A redactor: it replaces `names`, and values by their shapes. Lines stay lines: none is added, joined or taken away."""

    def __init__(self, tokens: Tokens, names: Names) -> None:
        self.tokens, self.names = tokens, names
        self.cases: dict[str, str] = {}  # paths that were given -> what stands for them
        self._frequent = [(_literal(n), tokens.of("host", n).encode()) for n in names.frequent()]
        self._steps = list(self._made())

    def data(self, data: bytes) -> bytes:
        """Return whole lines redacted. Only lines that can hold a value are looked at closely; the bytes of all others stay."""
        for name, token in self._frequent:
            data = name.sub(token, data)
        return changed(data, self._steps)

    def text(self, text: str) -> str:
        """Return a text redacted, of one line or many."""
        for path, label in self.cases.items():
            text = text.replace(path, label)
        for _, change in self._steps:
            text = change(text)
        return text

    def _made(self) -> Iterator[tuple[str, Change]]:
        """Yield (sign, change) in the order in which values are replaced: values by shape first, names last."""
        yield '"MESSAGE" ?: ?\\[', lambda text: _ARRAY.sub(self._array, text)
        home = os.path.expanduser("~")
        own = Shape("path", re.compile(re.escape(home) + r"/(?P<v>[^\s'\"<>,;:)\]}|]+)"))
        for shape in (*([own] if home.count("/") > 1 else []), *SHAPES):
            yield shape.sign, partial(shape.replaced, tokens=self.tokens)
        for context in CONTEXTS:
            yield context.sign, partial(self._in_context, context)
        yield sign(MAIL), lambda text: MAIL.sub(self._mail, text)
        if placed := self.names.by_place():
            told = re.compile(rf"(?m)^([^\n]{{0,80}}?[ |]|)({_trie(placed)})(?= [^\s:]+(?:\[[0-9]+\])?(?::| (?:-|[0-9]+) ))", re.I)
            yield f"(?i:(?:^|[ |])(?:{_trie(placed)}) )", lambda text: told.sub(lambda m: m[1] + self._one("host", m[2]), text)
        if kinds := self.names.everywhere():
            known = re.compile(rf"{BEGIN}(?:{_trie(kinds)})(?![0-9A-Za-z_])", re.I)
            near = f"(?i:{_trie(kinds)})" if len(kinds) <= _SEARCHED else ""
            yield near, lambda text: known.sub(lambda m: self.tokens.of(kinds[m[0].casefold()], m[0]), text)
        yield sign(DOMAIN), lambda text: DOMAIN.sub(self._fqdn, text)

    def _in_context(self, context: Context, text: str) -> str:
        out, last = [], 0
        for begin, end in sorted(context.spans(text)):
            out += [text[last:begin], self._one(context.kind, text[begin:end])]
            last = end
        return "".join([*out, text[last:]])

    def _mail(self, m: re.Match[str]) -> str:
        return m[0] if _public(m[2]) else f"{self._one('user', m[1])}@{self._domain(m[2])}"

    def _fqdn(self, m: re.Match[str]) -> str:
        return m[0] if _public(m[0]) else f"{self._one('host', m[1])}.{self._domain(m[2])}"

    def path(self, path: str) -> str:
        """Return the path of a source redacted."""
        hosts = [n for n, k in self.names.found.items() if k == "host"]
        told = self.text(path)
        return re.sub(rf"(?i)(?<![0-9a-z_])(?:{_trie(hosts)})(?![0-9a-z_])", lambda m: self._one("host", m[0]), told) if hosts else told

    def _one(self, kind: str, name: str) -> str:
        """Return the token of a name, of a host with a domain those of both; words that name nobody, and tokens, stay."""
        bare = name.strip(".-'\"")
        if not bare or self.names.is_word(bare) or TOKEN.search(bare) or _public(bare) or re.fullmatch(r"[0-9.:]+|0x.*", bare):
            return name
        if kind == "host" and "." in bare:
            label, _, domain = bare.partition(".")
            return name.replace(bare, f"{self._one('host', label)}.{self._domain(domain)}")
        return name.replace(bare, self.tokens.of(self.names.found.get(bare.casefold(), kind), bare))

    def _domain(self, domain: str) -> str:
        return domain if TOKEN.search(domain) else self.tokens.of("domain", domain)

    def _array(self, m: re.Match[str]) -> str:
        try:
            text = bytes(int(n) for n in m[1].split(",")).decode("utf-8", "replace")
        except ValueError:
            return m[0]
        told = "\n".join(map(self.text, text.split("\n")))
        return m[0] if told == text else f'"MESSAGE":{json.dumps(told)}'


def _public(name: str) -> bool:
    """Return whether a domain is that of a project whose name stands in every kernel of a distribution."""
    return name.lower().endswith(_PUBLIC)


def _literal(name: str) -> re.Pattern[bytes]:
    """Return what finds a name quickly: a fixed text first, then what may stand around it."""
    raw = re.escape(name.encode())
    return re.compile(raw + rb"(?<![0-9A-Za-z_]" + raw + rb")(?![0-9A-Za-z_]|\.[0-9A-Za-z])")


def _trie(words: Iterable[str]) -> str:
    """Return an expression for any of the words that looks at each character once; the longest word wins."""
    tree: dict[str, dict] = {}  # type: ignore[type-arg]
    for word in words:
        node = tree
        for character in word:
            node = node.setdefault(character, {})
        node[""] = {}

    def told(node: dict[str, dict]) -> str:  # type: ignore[type-arg]
        branches = [re.escape(c) + told(node[c]) for c in sorted(node) if c]
        if not branches:
            return ""
        ends = "?" if "" in node else ""
        return f"(?:{'|'.join(branches)}){ends}" if len(branches) > 1 or ends else branches[0]

    return told(tree)


def safe_name(path: str) -> str:
    """Return where the redacted copy of a source lies below a folder: no step out of it."""
    parts = [p for p in re.split(r"[/!\\:]+", posixpath.normpath(path)) if p not in ("", ".", "..")]
    return "/".join(parts) or "log"
