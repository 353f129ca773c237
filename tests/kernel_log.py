"""A kernel's log as dmesg prints it, and what is found in it."""

from tracekit.findings import Finding
from tracekit.testing import findings, run
from tracekit.testing import outcome as outcome_of

BOOT = "Linux version 6.1.0 (builder@example) (gcc 12.2.0) #1 SMP"


def log(*messages: str, start: float = 20, step: float = 1) -> str:
    """Messages with stamps, `step` s from one to the next."""
    return "".join(f"[{start + n * step:12.6f}] {message}\n" for n, message in enumerate(messages))


def of(code: str, text: str) -> list[Finding]:
    """The findings of one diagnosis."""
    return [f for f in findings(text) if f.code == code]


def outcome(text: str, code: str) -> str:
    """What one diagnosis said of it."""
    return outcome_of(run(text), code).outcome
