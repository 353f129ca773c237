"""Deprecated names: what a plugin may still import or provide for one minor release, and what takes its place."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Deprecated:
    """Say of a name that it is to go. `since`: the minor release that deprecates it, as in 0.2; the next one is without it."""

    since: str
    instead: str

    @property
    def gone(self) -> str:
        """Return the first release without it."""
        major, minor = _minor(self.since)
        return f"{major}.{minor + 1}"

    def text(self, name: str) -> str:
        """Return what the author of a plugin should know."""
        return f"{name} goes with tracekit {self.gone}: use {self.instead}"


# By the name as a plugin writes it: `tracekit.near_line`, or a hook; docs/plugins.md has the same list.
DEPRECATED: Mapping[str, Deprecated] = MappingProxyType({})


def used(name: str) -> bool:
    """Return whether a name is deprecated, and warn whoever used it: the caller's caller."""
    if deprecated := DEPRECATED.get(name):
        warnings.warn(deprecated.text(name), DeprecationWarning, stacklevel=3)
    return deprecated is not None


def overdue(deprecated: Mapping[str, Deprecated], version: str) -> list[str]:
    """Return the names whose time is over in a release: they must be deleted."""
    return [name for name, d in deprecated.items() if _minor(version) >= _minor(d.gone)]


@contextmanager
def heard(texts: list[str]) -> Iterator[None]:
    """Note each deprecated name that is used inside, once. Warnings go on to where they would have gone."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", DeprecationWarning)
        try:
            yield
        finally:
            given = list(told)
    known = {d.text(name) for name, d in DEPRECATED.items()}
    texts += dict.fromkeys(t for w in given if (t := str(w.message)) in known and t not in texts)
    for w in given:
        warnings.warn_explicit(w.message, w.category, w.filename, w.lineno, source=w.source)


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
