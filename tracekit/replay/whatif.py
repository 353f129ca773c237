"""What if: the same stimuli replayed with one gate flipped. A fault that vanishes names its fix.

A *system* composes machines of the plugins (`tracekit_machines`) into something that can run: it derives the stimuli from the tables,
knows its gates as observed or assumed, and says which faults occur under any setting of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import polars as pl

from tracekit.findings import Finding
from tracekit.replay.gates import Gate, expanded, marked


@dataclass(frozen=True, slots=True)
class Fix:
    """One gate that can be flipped: `to` is its new value, `cures` the codes whose own fix it is, `text` what the user would do."""

    gate: str
    to: Any
    cures: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Flip:
    """The faults of a subject before and after one gate is flipped. `refutable`: see `System.refutable`."""

    gate: str
    before: Any
    to: Any
    subject: str = ""
    vanished: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    cost: Mapping[str, int] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    cures: tuple[str, ...] = ()
    text: str = ""
    name: str = ""
    refutable: frozenset[str] | None = None
    machine: str = ""
    boot: int = 0

    @property
    def label(self) -> str:
        """Return the code and the name of the gate."""
        return f"{self.gate} {self.name}".rstrip()

    def as_json(self) -> dict[str, Any]:
        """Return the row of `tracekit whatif --format json`."""
        lists = {n: list(getattr(self, n)) for n in ("vanished", "remaining", "new")}
        return {
            "gate": self.gate,
            **({"name": self.name} if self.name else {}),
            "from": self.before,
            "to": self.to,
            **lists,
            "cost": dict(self.cost),
            "assumptions": list(self.assumptions),
        }


class System:
    """A composition of machines for one subject (a device, a domain, a host). `reads` names the tables that it takes stimuli from.

    A fix flips a declared gate or one of `switches`, what this system alone can change; `asks`: gates that it reads beside those.
    """

    name: ClassVar[str] = ""
    reads: ClassVar[tuple[str, ...]] = ()
    fixes: ClassVar[tuple[Fix, ...]] = ()
    switches: ClassVar[tuple[str, ...]] = ()
    asks: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def instances(cls, machines: Mapping[str, type], tables: Mapping[str, pl.DataFrame]) -> Sequence["System"]:
        """Return the systems that the tables hold stimuli for; none where they hold none."""
        raise NotImplementedError

    @classmethod
    def flipped(cls, machines: Mapping[str, type], tables: Mapping[str, pl.DataFrame], gates: Mapping[str, Gate]) -> Sequence[Flip]:
        """Flip each gate of its instances; return what each flip changes."""
        return flips(cls.instances(machines, tables), gates)

    def subject(self) -> str:
        """Return the label of its subject as findings print it; empty if no finding names one."""
        return ""

    def gates(self) -> Mapping[str, Any]:
        """Return the gates as observed or assumed, from which every flip starts."""
        raise NotImplementedError

    def faults(self, gates: Mapping[str, Any]) -> frozenset[str]:
        """Return the codes of the faults that occur when the stimuli are replayed under `gates`."""
        raise NotImplementedError

    def refutable(self) -> frozenset[str] | None:
        """Return the codes whose fault this replay could have failed to show; None: all that its fixes cure.

        One whose only stimulus is the line that the finding repeats, or whose fault is the gate itself, names fixes and confirms nothing;
        nor does one whose results, under the gates as they are, differ from those that were recorded.
        """
        return None

    def cost(self, gates: Mapping[str, Any]) -> Mapping[str, int]:
        """Return what `gates` allocate up front: vectors, IRTEs, pirqs."""
        return {}

    def platform(self) -> tuple[str, str]:
        """Return the architecture and interrupt parent of its kernel, each empty while unknown: the release of a fix depends on them."""
        return "", ""

    def assumptions(self) -> tuple[str, ...]:
        """Stimuli that had to be derived, gates that were assumed."""
        return ()


def flips(systems: Iterable[System], gates: Mapping[str, Gate] | None = None) -> list[Flip]:
    """Return every fix of every system, flipped alone against its base; `gates` tell the releases that the fixes' texts mark."""
    return [sound(flip) for system in systems for flip in _flips(system, gates or {})]


def sound(flip: Flip) -> Flip:
    """Return a flip that findings can be compared with. Errors: TypeError in words for the author of the system."""
    codes = (*flip.vanished, *flip.remaining, *flip.new, *flip.assumptions)
    if not all(isinstance(text, str) for text in (flip.subject, flip.text, *codes)):
        raise TypeError("its subject, its faults and its assumptions are texts")
    if not (flip.refutable is None or isinstance(flip.refutable, frozenset | set)):
        raise TypeError(f"refutable returned a {type(flip.refutable).__name__}, not a set of codes")
    return flip


def _flips(system: System, declared: Mapping[str, Gate]) -> Iterator[Flip]:
    """Yield every fix of a system, flipped alone; the base that all are compared with is replayed once."""
    base = system.gates()
    wanted = [fix for fix in system.fixes if base.get(fix.gate) != fix.to]
    if wanted:
        faults, cost = system.faults(base), system.cost(base)
        yield from (_flip(system, fix, base, faults, cost, declared) for fix in wanted)


def _flip(
    system: System, fix: Fix, gates: Mapping[str, Any], base: frozenset[str], cost: Mapping[str, int], declared: Mapping[str, Gate]
) -> Flip:
    flipped = {**gates, fix.gate: fix.to}
    after = system.faults(flipped)
    changed = {k: v - cost.get(k, 0) for k, v in system.cost(flipped).items()}
    return Flip(
        fix.gate,
        gates.get(fix.gate),
        fix.to,
        system.subject(),
        tuple(sorted(base - after)),
        tuple(sorted(base & after)),
        tuple(sorted(after - base)),
        {k: v for k, v in changed.items() if v},
        system.assumptions(),
        fix.cures,
        _text(fix, declared, system.platform()),
        declared[fix.gate].name if fix.gate in declared else "",
        system.refutable(),
    )


def _text(fix: Fix, declared: Mapping[str, Gate], platform: tuple[str, str]) -> str:
    """Return what a user would do; nothing where no release has it on this platform."""
    if any(not declared[code].comes_to(*platform) for code in marked([fix.text]) if code in declared):
        return ""
    return expanded(fix.text, declared, *platform)


def confirmed(findings: Iterable[Finding], made: Sequence[Flip]) -> list[Finding]:
    """Return the findings with the fixes under which they vanish; `confirmed_by_replay` where only these do and the replay could say no."""
    return [_confirm(f, [x for x in made if f.code in (*x.vanished, *x.remaining) and _is_about(x, f)]) for f in findings]


def _is_about(flip: Flip, f: Finding) -> bool:
    """Return whether a flip is about a finding: of the same place, with its subject; a domain's label may go on: `dom0 (0000:00:06.0)`."""
    label = f.subject.label
    return (flip.machine, flip.boot) == (f.machine, f.boot) and (flip.subject in ("", label) or label.startswith(f"{flip.subject} ("))


def _confirm(finding: Finding, made: Sequence[Flip]) -> Finding:
    own = [x for x in made if finding.code in x.cures]
    if not own:
        return finding
    helped = [x for x in own if finding.code in x.vanished]
    strangers = [x for x in made if finding.code in x.vanished and finding.code not in x.cures]
    fixes = tuple(dict.fromkeys(x.text for x in helped if x.text))
    if not any(x.refutable is None or finding.code in x.refutable for x in own):
        return replace(finding, fixes=fixes)
    return replace(finding, confirmed_by_replay=bool(helped) and not strangers, fixes=fixes)
