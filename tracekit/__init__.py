"""tracekit reads logs and traces of passed-through PCI devices and says why they stopped interrupting.

Names are loaded when they are first used, so that `import tracekit` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Options": "analyze",
    "before": "clock",
    "clear": "diagnoses",
    "Diagnosis": "diagnoses",
    "diagnosis": "diagnoses",
    "Evidence": "diagnoses",
    "Finding": "diagnoses",
    "HOST": "diagnoses",
    "inconclusive": "diagnoses",
    "not_evaluated": "diagnoses",
    "Outcome": "diagnoses",
    "Subject": "diagnoses",
    "Unchecked": "diagnoses",
    "Verdict": "diagnoses",
    "hookimpl": "hooks",
    "Model": "model",
    "Row": "model",
    "rows_of": "model",
    "Report": "report",
    "Run": "report",
    "SourceReport": "report",
    "TracekitError": "errors",
    "Fix": "whatif",
    "System": "whatif",
    **dict.fromkeys(
        ("callers", "distinct", "lost_between", "near", "no_message", "numbered", "same_function", "span", "subject_of", "times"),
        "subjects",
    ),
    "ENVELOPE": "types",
    "Schema": "types",
}

if TYPE_CHECKING:
    from tracekit.analyze import Options as Options
    from tracekit.clock import before as before
    from tracekit.diagnoses import HOST as HOST
    from tracekit.diagnoses import Diagnosis as Diagnosis
    from tracekit.diagnoses import Evidence as Evidence
    from tracekit.diagnoses import Finding as Finding
    from tracekit.diagnoses import Outcome as Outcome
    from tracekit.diagnoses import Subject as Subject
    from tracekit.diagnoses import Unchecked as Unchecked
    from tracekit.diagnoses import Verdict as Verdict
    from tracekit.diagnoses import clear as clear
    from tracekit.diagnoses import diagnosis as diagnosis
    from tracekit.diagnoses import inconclusive as inconclusive
    from tracekit.diagnoses import not_evaluated as not_evaluated
    from tracekit.errors import TracekitError as TracekitError
    from tracekit.hooks import hookimpl as hookimpl
    from tracekit.model import Model as Model
    from tracekit.model import Row as Row
    from tracekit.model import rows_of as rows_of
    from tracekit.report import Report as Report
    from tracekit.report import Run as Run
    from tracekit.report import SourceReport as SourceReport
    from tracekit.subjects import callers as callers
    from tracekit.subjects import distinct as distinct
    from tracekit.subjects import lost_between as lost_between
    from tracekit.subjects import near as near
    from tracekit.subjects import no_message as no_message
    from tracekit.subjects import numbered as numbered
    from tracekit.subjects import same_function as same_function
    from tracekit.subjects import span as span
    from tracekit.subjects import subject_of as subject_of
    from tracekit.subjects import times as times
    from tracekit.types import ENVELOPE as ENVELOPE
    from tracekit.types import Schema as Schema
    from tracekit.whatif import Fix as Fix
    from tracekit.whatif import System as System

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tracekit' has no attribute {name!r}")
    value = getattr(import_module(f"tracekit.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
