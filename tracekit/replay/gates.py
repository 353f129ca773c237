"""Gates: behaviour that a release, an architecture or an interrupt parent has or has not, declared once by a plugin."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import polars as pl

from tracekit.findings import Finding, Unchecked

Release = tuple[int, ...]
CODE = re.compile(r"[A-Z]{1,2}V[1-9][0-9]?")
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")
# {KV4}, {KV4 everywhere}: the place of a gate's release, or of all of them, in a page, an advice, a fix's text.
MARK = re.compile(r"\{([A-Z]{1,2}V[1-9][0-9]?)( everywhere)?\}")


@dataclass(frozen=True, slots=True)
class Since:
    """The release from which a gate holds on one architecture with one interrupt parent.

    `release` None: no release up to the newest that was read. `until`: the release that takes it back. `arch` empty: every architecture
    that no other entry names; `parent` empty: the architecture's usual interrupt parents. `commit`, `source`: where that is known from.
    `parent_since`: the release that first knows the parent; before it no machine has it.
    """

    release: Release | None
    arch: str = ""
    parent: str = ""
    commit: str = ""
    source: str = ""
    until: Release | None = None
    parent_since: Release | None = None

    def holds(self, release: Release) -> bool:
        """Return whether a release has the behaviour."""
        return self.release is not None and release >= self.release and (self.until is None or release < self.until)

    @property
    def where(self) -> str:
        """Return the architecture and parent in words; empty for every one."""
        return " with ".join(filter(None, (self.arch, self.parent)))


@dataclass(frozen=True, slots=True)
class Gate:
    """One behaviour: its name and code, since when and where it has been there, how logs show it, what it changes, what a user can do."""

    code: str
    name: str
    project: str
    holds: str
    changes: str
    observed: tuple[str, ...]
    since: tuple[Since, ...]
    advice: str = ""

    def entries(self, arch: str = "", parent: str = "") -> tuple[Since, ...]:
        """Return the entries that apply to a platform: several where the parent, or the architecture, is not known."""
        for mine in (
            [s for s in self.since if parent and s.parent == parent],
            [s for s in self.since if arch and s.arch == arch and not s.parent],
            [s for s in self.since if arch and s.arch == arch],
            [s for s in self.since if arch and not s.arch],
        ):
            if mine:
                return tuple(mine)
        return () if arch else self.since

    def value(self, release: Release, arch: str = "", parent: str = "") -> bool | None:
        """Return whether a release has it on a platform; None where the entries that may apply differ, or none does."""
        mine = self.entries(arch, parent)
        told = {s.holds(release) for s in mine if len(mine) == 1 or s.parent_since is None or release >= s.parent_since}
        return told.pop() if len(told) == 1 else None

    def releases(self, arch: str = "", parent: str = "") -> str:
        """Return the first release as a user asks for it: `Linux 6.5`, and the platform where that is not the usual one."""
        usual = next((s for s in self.entries(arch, parent) if s.release is not None), None)
        if usual is None:
            return f"a {self.project} newer than those read"
        return f"{self.project} {dotted(usual.release)}" + (f" on {usual.where}" if usual.parent else "")

    def everywhere(self) -> str:
        """Return the first release on each platform that has one: `Linux 6.2 on x86, 6.11 on arm64 with GIC ITS`."""
        told = [dotted(s.release) + (f" on {s.where}" if s.where else "") for s in self.since if s.release is not None]
        return f"{self.project} {', '.join(told)}"

    def comes_to(self, arch: str, parent: str) -> bool:
        """Return whether a platform has it in some release, or may have it."""
        mine = self.entries(arch, parent)
        return not mine or any(s.release is not None for s in mine)

    def page(self) -> str:
        """Return the page that `tracekit explain` prints."""
        lines = [f"{self.name} ({self.code}), a gate of {self.project}", "", self.holds, "", f"What it changes: {self.changes}"]
        lines += ["Since:", *(f"- {_told(s)}" for s in self.since), "How it is observed:", *(f"- {o}" for o in self.observed)]
        return "\n".join([*lines, f"What to do: {self.advice}"] if self.advice else lines)


def dotted(release: Release | None) -> str:
    """Return a release as it is written."""
    return ".".join(map(str, release or ()))


def _told(s: Since) -> str:
    where = s.where or "elsewhere"
    if s.release is None:
        told = f"{where}: in no release read"
    else:
        told = f"{where if s.where else 'all'}: {dotted(s.release)}" + (f" to before {dotted(s.until)}" if s.until else "")
    known = ", ".join(filter(None, (f"commit {s.commit}" if s.commit else "", s.source)))
    return f"{told} ({known})" if known else told


def expanded(text: str, gates: Mapping[str, Gate], arch: str = "", parent: str = "") -> str:
    """Return a text with the release of each gate that it marks (`{KV4}`), as it holds on a platform."""

    def told(m: re.Match[str]) -> str:
        gate = gates.get(m[1])
        return m[0] if gate is None else gate.everywhere() if m[2] else gate.releases(arch, parent)

    return MARK.sub(told, text)


def worded(findings: Iterable[Finding], gates: Mapping[str, Gate], platforms: pl.DataFrame | None) -> list[Finding]:
    """Return the findings with each marked release in their words, as it holds on the platform of their place."""
    known: dict[tuple[str, int], tuple[str, str]] = {}
    if platforms is not None:
        known = {(r["machine"], r["boot"]): (r["arch"], r["parent"]) for r in platforms.iter_rows(named=True)}

    def one(f: Finding) -> Finding:
        place = known.get((f.machine, f.boot), ("", ""))
        unchecked = tuple(Unchecked(expanded(u.guard, gates, *place), expanded(u.would_settle, gates, *place)) for u in f.unchecked)
        return replace(
            f,
            summary=expanded(f.summary, gates, *place),
            advice=expanded(f.advice, gates, *place),
            meaning=expanded(f.meaning, gates, *place),
            unchecked=unchecked,
        )

    return [one(f) if "{" in f"{f.summary}{f.advice}{f.meaning}{f.unchecked}" else f for f in findings]


def marked(texts: Iterable[str]) -> list[str]:
    """Return the codes of the gates that texts mark."""
    return sorted({m[1] for text in texts for m in MARK.finditer(text)})


def gate_value(gates: pl.DataFrame | None, code: str, source: str | None = None) -> bool | None:
    """Return a gate's value by the same source, else by all others if they agree, observed before assumed; None if it is not known."""
    if gates is None or code not in gates["gate"].to_list():
        return None
    told: dict[tuple[bool, str], set[bool]] = {}
    for gate, value, basis, by in zip(*(gates[c].to_list() for c in ("gate", "value", "basis", "source")), strict=True):
        if gate == code:
            told.setdefault((False, basis), set()).add(value)
            if by == source:
                told.setdefault((True, basis), set()).add(value)
    for key in ((True, "observed"), (True, "assumed"), (False, "observed"), (False, "assumed")):
        if values := told.get(key):
            return values.pop() if len(values) == 1 else None
    return None
