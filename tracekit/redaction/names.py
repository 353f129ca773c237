"""Collect the names of a case before anything is replaced: a host that one line names by its place may stand in the text of another."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from tracekit.grammar.rules import Rule
from tracekit.parsing.envelopes import Layout
from tracekit.parsing.noise import settle as settle_noise
from tracekit.reading import bundle
from tracekit.reading.source import Source
from tracekit.redaction.contexts import CONTEXTS

_SAMPLE = 1000
_MOST = 20_000  # names that are looked for everywhere; further ones are replaced where the words around tell them
_LONGEST = 253  # characters of a name, as DNS allows
_HEAD = 200  # characters of a line in which its host stands
# Accounts and words that name nobody in particular.
_COMMON = frozenset(
    """
    root nobody daemon admin administrator user users guest guests host hosts hostname test tester build builder system sysadmin ubuntu
    debian fedora centos redhat rocky suse opensuse arch alpine oracle linux gentoo kernel localhost localdomain none null unknown
    default server client node machine domain domain-0 dom0 name virtual vm qemu kvm xen libvirt libvirt-qemu vfio pci cron sudo sshd
    polkitd dbus messagebus postgres mysql www-data nginx apache git jenkins ansible vagrant docker podman operator service services
    manager worker master main install live true false yes memory device driver error failed invalid local remote public private http
    https running state reset interrupt image images disk network bridge config
    """.split()  # noqa: SIM905
)
_DEVICE = re.compile(
    r"(?i)(?:eth|en[ospx]|wl|veth|vnet|tap|macvtap|br|virbr|bond|team|nvme|sd|vd|xvd|md|sr|dm|loop|tty|cpu|irq|vcpu|dom|domain|pci|msi|host|guest|vf|pf"
    r"|usb|ata|scsi|hw|queue|kworker|qemu|net|hostdev|virtio|disk|ide|bus|vec|vector|pirq|evtchn|gsi|x86|amd|intel|arm|aarch)[-_.]?[0-9a-f._-]*|0x[0-9a-f]+|[0-9.]+"
    r"|[0-9a-f]{1,8}|pci_[0-9a-f_]+"
)
_SIGNS = [context.sign for context in CONTEXTS]
_ANY = "|".join(_SIGNS)
_KNOWN_MOST = 400  # known names by which lines are passed over


@dataclass
class Names:
    """Collect the names of a case by kind, from where they stand; `words`: words of the grammars, which no name may take from the log."""

    words: frozenset[str]
    found: dict[str, str] = field(default_factory=dict)  # name, letters folded -> kind
    counts: dict[str, int] = field(default_factory=dict)  # hosts of envelopes, as written -> lines seen to have them

    def add(self, kind: str, name: str) -> None:
        """Add a name; of a host with a domain also its first label, and the domain."""
        name = name.strip(".-'\"")
        if not name or len(name) > _LONGEST or self.is_word(name) or re.fullmatch(r"[0-9.:]+", name) or len(self.found) > 4 * _MOST:
            return
        self.found.setdefault(name.casefold(), kind)
        if kind == "host" and "." in name and not re.fullmatch(r"[0-9.]+", name):
            label, _, domain = name.partition(".")
            self.add("host", label)
            self.found.setdefault(domain.casefold(), "domain")

    def is_word(self, name: str) -> bool:
        """Return whether a name is a word that logs use for other things, so that it names nobody."""
        folded = name.casefold()
        return folded in _COMMON or folded in self.words

    def everywhere(self) -> dict[str, str]:
        """Return the names that may be replaced wherever they stand: not short ones, nor those that are also devices' names."""
        told = {n: k for n, k in self.found.items() if len(n) > 3 and not _DEVICE.fullmatch(n)}
        return dict(list(told.items())[:_MOST])

    def by_place(self) -> list[str]:
        """Return the hosts that are replaced only where an envelope has its host."""
        wide = self.everywhere()
        return [n for n, k in self.found.items() if k == "host" and n not in wide]

    def frequent(self) -> list[str]:
        """Return hosts that most lines begin with, as they are written, the most frequent first."""
        wide = self.everywhere()
        return [n for n in sorted(self.counts, key=lambda n: -self.counts[n]) if n.casefold() in wide][:3]


def words_of(rules: Iterable[Rule]) -> frozenset[str]:
    """Return the words of the event rules: a host that is called `vector` must not take it out of the messages."""
    return frozenset(w.casefold() for r in rules for w in re.findall(r"[A-Za-z][A-Za-z0-9_]{2,}", re.sub(r"\(\?P<\w+>", "", r.regex)))


def collect(sources: Sequence[Source], envelopes: Mapping[str, Rule], words: frozenset[str]) -> Names:
    """Read all sources once and return the names of hosts, users and virtual machines in them."""
    names = Names(words)
    for source in sources:
        names.add("host", source.machine or bundle.machine(source.path))
        for kind, name in _told(pl.Series("line", [source.path])):
            names.add(kind, name)
        try:
            _of_source(source, envelopes, names)
        except (OSError, ValueError):
            continue  # whoever reads it next says so
    return names


def _of_source(source: Source, envelopes: Mapping[str, Rule], names: Names) -> None:
    rules: list[tuple[str, int]] | None = None
    for chunk in source.chunks():
        lines = chunk.lines
        if rules is None:
            rules = _host_rules(envelopes, lines.head(_SAMPLE).to_list())
        _hosts(lines, rules, names)
        for kind, name in _told(lines):
            names.add(kind, name)


def _told(lines: pl.Series) -> Iterator[tuple[str, str]]:
    """Yield (kind, name) for each name that the words around it identify."""
    near = lines.filter(lines.str.contains(_ANY))
    for context, sign in zip(CONTEXTS, _SIGNS, strict=True) if near.len() else ():
        text = "\n".join(near.filter(near.str.contains(sign)).to_list())
        yield from ((context.kind, text[begin:end]) for begin, end in context.spans(text))


def _host_rules(envelopes: Mapping[str, Rule], sample: list[str]) -> list[tuple[str, int]]:
    """Return (expression, group of the host) of each envelope that has one; what is decided per file only where this file has it."""
    layout = Layout.settle(envelopes, sample)
    settled = {r.name for layer in layout.layers for r in layer}
    fit = [r for r in envelopes.values() if "host" in r.groups and (r.name in settled or not (r.marks.found_by or r.marks.believed))]
    _, clean = settle_noise(sample)
    outer = "|".join(_before(r) for r in envelopes.values() if r.marks.layer == "outer" and r.name in settled)
    made = []
    for rule in fit:
        start = rf"^(?:{outer})?\s*" if outer or clean != sample else "^"
        expression = start + _before(rule)
        group = re.compile(expression).groupindex[rule.groups["host"][0]]
        made.append((expression, group))
    return made


def _before(rule: Rule) -> str:
    """Return what a rule wants before the message, groups without names but for the host's."""
    head = rule.regex.removeprefix("^").removesuffix("$")
    for begin in ("(?:(?P<msg", "(?P<msg"):
        head = head.partition(begin)[0]
    return re.sub(r"\(\?P<(?!host)\w+>", "(?:", head)


def _hosts(lines: pl.Series, rules: Sequence[tuple[str, int]], names: Names) -> None:
    """Add the hosts of envelopes. Lines that hold a known one are passed over, so most are looked at once for one fixed text."""
    rest = lines.str.slice(0, _HEAD)
    for known in list(names.counts)[:_KNOWN_MOST]:
        before = rest.len()
        rest = rest.filter(~rest.str.contains(f" {known} ", literal=True))
        names.counts[known] += before - rest.len()
    for expression, group in rules:
        part = rest
        while part.len():
            head = part.head(_SAMPLE).str.extract(expression, group).drop_nulls()
            fresh = [str(h) for h in head.unique(maintain_order=True) if h not in names.counts]
            for host in fresh:
                names.add("host", host)
                names.counts.setdefault(host, 1)
            part = part.slice(_SAMPLE)
            if fresh and part.len():
                known = "|".join(re.escape(h) for h in fresh)
                seen = part.str.contains(f" (?:{known}) ")
                names.counts[fresh[0]] += int(seen.sum())
                part = part.filter(~seen)
