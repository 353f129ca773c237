"""Gates: one release a platform, one declaration each, and every reference to one checked when plugins are loaded."""

import ast
from pathlib import Path

import pytest

from tracekit.findings import HOST, Finding
from tracekit.plugins import registry as plugins
from tracekit.replay.gates import CODE, Gate, Since, dotted, expanded, worded

ROOT = Path(__file__).parent.parent.parent
REGISTRY = plugins.load()
GATE = Gate(
    "ZV1",
    "a-toy",
    "Toy",
    "It holds.",
    "It changes.",
    ("a line",),
    (
        Since((6, 5), "x86", commit="0123456789ab"),
        Since((6, 17), "x86", "Hyper-V"),
        Since((6, 11), "arm64", "GIC ITS"),
        Since(None, "arm64", "GICv2m"),
        Since((4, 0), until=(4, 2)),
    ),
)


@pytest.mark.parametrize(
    ("release", "arch", "parent", "value"),
    [
        ((6, 5, 1), "x86", "", True),
        ((6, 4, 99), "x86", "", False),
        ((6, 12), "x86", "Hyper-V", False),
        ((6, 17), "x86", "Hyper-V", True),
        ((6, 12), "arm64", "GIC ITS", True),
        ((6, 12), "arm64", "GICv2m", False),
        ((6, 12), "arm64", "", None),  # its parents differ
        ((6, 2), "arm64", "", False),  # they agree
        ((4, 1), "s390", "", True),
        ((4, 2), "s390", "", False),
        ((6, 20), "", "", None),
        ((3, 0), "", "", False),
    ],
)
def test_a_gate_holds_by_release_architecture_and_parent(release: tuple[int, ...], arch: str, parent: str, value: bool | None) -> None:
    assert GATE.value(release, arch, parent) is value


def test_a_text_takes_the_release_of_the_place_of_its_finding() -> None:
    known = {"ZV1": GATE}
    assert expanded("use {ZV1} or later; {KV99}", known) == "use Toy 6.5 or later; {KV99}"
    assert expanded("{ZV1}", known, "arm64", "GIC ITS") == "Toy 6.11 on arm64 with GIC ITS"
    assert expanded("{ZV1}", known, "arm64", "GICv2m") == "a Toy newer than those read"
    assert expanded("{ZV1 everywhere}", known).startswith("Toy 6.5 on x86, 6.17 on x86 with Hyper-V, 6.11 on arm64 with GIC ITS")
    told = worded([Finding("x", "proven", (), HOST, advice="Use {ZV1}.")], known, None)
    assert [f.advice for f in told] == ["Use Toy 6.5."]


def test_each_declared_gate_has_its_sources_and_says_what_it_changes() -> None:
    assert len(REGISTRY.gates) >= 17
    for gate in REGISTRY.gates.values():
        assert gate.holds and gate.changes and gate.observed, gate.code
        assert all(s.commit or s.source for s in gate.since), gate.code


def test_no_release_of_a_gate_is_written_outside_its_declaration() -> None:
    """One commit once stood for two releases; texts mark the gate instead: `{KV6}`."""
    releases = {f"{g.project} {dotted(s.release)}" for g in REGISTRY.gates.values() for s in g.since if s.release}
    texts = [p for p in (ROOT / "plugins").rglob("*.py") if {"diagnoses", "tracekit_systems"} & set(p.parts)]
    told = {
        p.name: [r for r in releases if f"{r} " in text or f"{r}," in text or f"{r})" in text] for p in texts for text in [p.read_text()]
    }
    assert {name: found for name, found in told.items() if found} == {}


def test_every_gate_that_code_names_is_declared() -> None:
    named: dict[str, set[str]] = {}
    for path in (ROOT / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                named.setdefault(node.value, set()).add(path.name)
    assert {code: files for code, files in named.items() if code not in REGISTRY.gates} == {}
