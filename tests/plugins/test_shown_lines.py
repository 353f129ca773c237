"""How many lines a finding shows of a message that comes again and again: each line of a sample's findings, repeated in place."""

from collections import Counter
from pathlib import Path

import pytest

from tracekit.findings import Finding
from tracekit.pipeline import Options, analyze
from tracekit.testing import expected

SAMPLES = Path(__file__).parents[2] / "sample_traces"
TIMES = 40


def found(case: Path, folder: Path, code: str) -> list[Finding]:
    sides = {str(folder / name): side for name, side in expected(case).get("sides", {}).items()}
    files = [str(p) for p in sorted(folder.iterdir()) if p.name != "expected.toml"]
    return [f for f in analyze(files, Options(sides=sides)).findings if f.code == code]


def repeated(case: Path, folder: Path, code: str) -> Counter[str]:
    """The roles of the lines that the findings of a code show, where each line that they show of the sample itself stands many times."""
    mine = {(Path(e.source).name, e.line) for f in found(case, case, code) for e in f.evidence}
    for file in (p for p in case.iterdir() if p.name != "expected.toml"):
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / file.name).write_text("".join(line * (TIMES if (file.name, n) in mine else 1) for n, line in enumerate(lines, 1)))
    return Counter(e.role for f in found(case, folder, code) for e in f.evidence)


@pytest.mark.parametrize(
    ("code", "sample", "roles"),
    [
        ("CFG-003", "cfg.ims-unsupported/fires-domain-refused", {"context": 3}),
        ("IRQ-008", "irq.commands-unanswered/fires-completion-wait", {"cause": 24}),
        ("IRQ-007", "irq.completion-without-interrupt/fires-driver-guesses", {"cause": 24}),
        ("IRQ-009", "irq.device-gone/fires-asleep-for-good", {"cause": 24}),
        ("IRQ-010", "irq.line-not-shared/fires-mismatch", {"cause": 24}),
        ("IRQ-003", "irq.remap-blocked/fires-behind-a-vmd", {"cause": 24}),
        ("IRQ-004", "irq.stray-vector/fires-after-a-free", {"cause": 24}),
        ("IRQ-006", "irq.unhandled-line/fires-level-line", {"cause": 24, "context": 24, "effect": 24}),
        ("MSI-005", "msi.mode-conflict/fires-msix-while-msi", {"cause": 3}),
        ("VEC-004", "vec.affinity-broken/fires-message", {"cause": 24}),
        ("VEC-007", "vec.cpu-offline-refused/fires-miscounted", {"cause": 24}),
        ("VEC-005", "vec.irte-exhausted/fires-intel", {"cause": 24}),
        ("VEC-006", "vec.managed-lost/fires-no-vector", {"cause": 24}),
        ("VEC-003", "vec.overcommit/fires-twice-6.1", {"cause": 24}),
        ("VFIO-012", "vfio.intx-setup-failed/fires-another-index-on", {"effect": 5}),
        ("VFIO-013", "vfio.never-started/fires-memory-limit", {"cause": 1, "effect": 7}),
        ("VFIO-011", "vfio.no-remapping/fires-group-refused-6.12", {"cause": 4, "context": 1}),
    ],
)
def test_a_repeated_message_is_shown_a_few_times(code: str, sample: str, roles: dict[str, int], tmp_path: Path) -> None:
    assert repeated(SAMPLES / sample, tmp_path, code) == roles
