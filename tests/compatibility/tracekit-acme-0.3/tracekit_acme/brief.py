"""`--format brief`: one line a finding."""

from collections.abc import Mapping
from typing import Any

from tracekit import Run


class Brief:
    """Code and device; `options`: width (columns), color, full."""

    name = "brief"

    def write(self, run: Run, options: Mapping[str, Any]) -> str:
        """The whole report as text."""
        return "".join(f"{f.code} {f.subject.label}: {f.summary}\n" for f in run.findings if f.grade)
