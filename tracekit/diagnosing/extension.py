"""Extensions: what a plugin adds to a diagnosis of another one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Extension:
    """Give a diagnosis of another plugin other settings, and its findings more advice. `of`: its code or name.

    What the user sets comes before `settings`. A lane for the findings of one diagnosis is `@tracekit.lane(..., of=("VFIO-001",))`.
    """

    of: str
    advice: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
