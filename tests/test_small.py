"""The smallest input of each known kind of mistake: which codes are found, and what the finding says."""

from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tracekit.cli.main import application
from tracekit.findings import Finding
from tracekit.pipeline import analyze
from tracekit.run import Run
from tracekit.testing import engine

SMALL = Path(__file__).parent / "small"
CASES = [line.split("\t") for line in (SMALL / "expected.tsv").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
SAID = [  # input, code, grade, severity, subject, words of the summary
    ("affinity-broken-only.log", "VEC-004", "proven", "low", "host", "1 irq (4) got a vector outside the wanted CPUs"),
    ("amd-ivhd-prefix.log", "IRQ-003", "proven", None, None, "interrupt message"),
    ("caller-after-blank.log", "IRQ-003", "proven", None, None, "interrupt message"),
    ("cpu-offline-miscounted.log", "VEC-007", "proven", "medium", "CPU 3", "the kernel miscounts"),
    ("cpu-offline-refused.log", "VEC-007", "proven", "medium", "CPU 31", "116 vectors, with 85 free elsewhere: they do not fit"),
    ("driver-says-msix.log", "IRQ-007", "possible", "high", "0000:00:05.0", "its driver guesses"),
    ("five-digit-segment.log", "IRQ-003", "proven", "low", "10000:e1:00.0", "entry belongs to another source (0x26)"),
    ("four-drives-one-cause.log", "IRQ-007", "proven", "high", "host", "4 completions of 4 devices (nvme0, nvme1, nvme2, nvme3)"),
    ("ice-none-for-vfs.log", "MSI-004", "probable", "medium", "0000:4b:00.0", "its own budget is used up"),
    ("indented-syslog.log", "IRQ-003", "proven", None, "0000:02:00.0", "entry belongs to another source (0x26)"),
    ("its-queue-timeout.log", "MSI-006", "proven", "high", "ITS", "MSIs of that CPU or device cannot be mapped"),
    ("line-before-fence.log", "IRQ-007", "proven", "high", "nvme0", "found by polling"),
    ("nodyn_rollback.txt", "VFIO-007", "proven", None, "0000:00:0a.0", "went down when vector 1 failed with -22"),
    ("panic-after-refusal.log", "IRQ-003", "proven", "critical", "0000:f0:1f.7", "the kernel panicked right after"),
    ("qemu-intx-ebusy.log", "VFIO-012", "proven", "medium", "0000:03:00.0", "shared with another device, and it cannot mask INTx"),
    ("qemu-intx-einval.log", "VFIO-012", "probable", "medium", "0000:03:00.0", "another interrupt index of it (MSI or MSI-X) is still on"),
    ("qemu-readconfig.log", "VFIO-004", "probable", "high", "0000:05:00.0", "vector 3 of 0000:05:00.0 could not be wired"),
    ("redacted-placeholders.log", "XEN-002", "probable", "high", None, "no free pirq for MSI: refused with -28"),
    ("refusal-unlisted-wording.log", "MSI-004", "probable", "medium", "0001:01:00.0", "refused with -28"),
    ("retaddr.txt", "MSI-001", "proven", "high", None, "index 4 refused with -34"),
    ("spurious-placeholder-vector.log", "IRQ-004", "proven", "high", "host", "0xef, the placeholder of an irq that was shut down"),
    ("strace.txt", "MSI-001", "possible", "high", None, "returned -34"),
    ("thread0-lspci-8-then-16", "MSI-001", "possible", "high", "2e:00.1", "no rebind is seen, and an enable failed"),
    ("two-hosts-xen", "XEN-002", "probable", "high", None, "no free pirq for MSI"),
]
STATUS = {"panic-after-refusal.log": 1, "polling-found-nothing.log": 0, "dump-stack-on-purpose.log": 0, "syslogd-broadcast.log": 0}


@cache
def ran(*names: str) -> Run:
    return analyze([str(SMALL / n) for n in names], engine=engine())


def found(run: Run, code: str) -> list[Finding]:
    return [f for f in run.findings if f.code == code]


def codes(cell: str) -> set[str]:
    return set() if cell == "-" else set(cell.split("|"))


@pytest.mark.parametrize(("files", "must", "may", "forbidden"), CASES, ids=[c[0].split()[0] for c in CASES])
def test_codes(files: str, must: str, may: str, forbidden: str) -> None:
    have = {f.code for f in ran(*files.split()).findings} - {"OBS-001"}
    assert have & codes(must) or must == "-"
    assert not have & codes(forbidden)
    assert may == "*" or have <= codes(must) | codes(may)


@pytest.mark.parametrize(("name", "code", "grade", "severity", "subject", "words"), SAID, ids=[s[0] for s in SAID])
def test_what_is_said(name: str, code: str, grade: str, severity: str | None, subject: str | None, words: str) -> None:
    (f,) = found(ran(name), code)
    assert (f.grade, f.severity if severity else None, f.subject.label if subject else None) == (grade, severity, subject)
    assert words in f.summary


@pytest.mark.parametrize(("name", "status"), STATUS.items())
def test_exit_status(name: str, status: int) -> None:
    assert CliRunner().invoke(application(), ["analyze", str(SMALL / name)]).exit_code == status


def test_what_only_the_message_says_is_not_confirmed_by_replay() -> None:
    assert [f.confirmed_by_replay for f in found(ran("affinity-broken-only.log"), "VEC-004")] == [None]


def test_the_pirqs_of_another_host_are_no_evidence() -> None:
    (f,) = found(ran("two-hosts-xen"), "XEN-002")
    assert {Path(e.source).name for e in f.evidence} == {"alpha.log"}


@pytest.mark.parametrize("name", ["run-of-blanks.log", "xen-huge-domid.log", "three-backspaces.log"])
def test_no_plugin_fails(name: str) -> None:
    assert [e for p in ran(name).plugins for e in p.errors] == []


def test_what_backspaces_took_away_is_not_read() -> None:
    assert sum(sum(s.events.values()) for s in ran("three-backspaces.log").sources) == 1


@pytest.mark.parametrize("name", ["none_beyond.txt", "msi_then_msix.txt", "msi616.txt", "arm_growth.txt", "nodyn_rollback.txt"])
def test_a_replay_has_no_divergence_without_a_finding(name: str) -> None:
    done = CliRunner().invoke(application(), ["replay", str(SMALL / name)])
    assert "0 of them not explained by a finding" in done.output
