"""tracekit reads logs and traces of passed-through PCI devices and says why they stopped interrupting.

Names are loaded when they are first used, so that `import tracekit` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(("analyze", "Engine", "Options"), "pipeline"),
    "before": "replay.clock",
    "clear": "findings",
    "Diagnosis": "diagnosing.diagnoses",
    "diagnosis": "diagnosing.diagnoses",
    "Evidence": "findings",
    "Extension": "diagnosing.extension",
    "Finding": "findings",
    "HOST": "findings",
    "inconclusive": "findings",
    "not_evaluated": "findings",
    "Outcome": "findings",
    "Subject": "findings",
    "Unchecked": "findings",
    "Verdict": "findings",
    "Fleet": "fleet",
    "FleetCase": "fleet",
    "FleetFault": "fleet",
    "hookimpl": "plugins.hooks",
    **dict.fromkeys(("Bar", "Lane", "Mark", "Picture", "Timeline", "Tone"), "timeline"),
    **dict.fromkeys(("LaneSource", "lane"), "picture.lane"),
    "Scale": "picture.scale",
    "Scene": "picture.scene",
    "Inputs": "replay.inputs",
    "Model": "replay.model",
    "Row": "replay.model",
    "rows_of": "replay.model",
    "Doubt": "run",
    "Report": "run",
    "Run": "run",
    "SourceReport": "run",
    "Suppressed": "run",
    "TracekitError": "errors",
    **dict.fromkeys(("Answer", "Fault", "Grid", "Pool", "Signal", "Step"), "simulate.answer"),
    **dict.fromkeys(("Foreseen", "Perhaps", "Plan"), "simulate.plan"),
    **dict.fromkeys(("Act", "Device", "Hotplug", "Request", "Scenario", "release_of"), "simulate.scenario"),
    **dict.fromkeys(("Parts", "Simulator"), "simulate.simulator"),
    **dict.fromkeys(("Gate", "Since", "gate_value"), "replay.gates"),
    "Fix": "replay.whatif",
    "System": "replay.whatif",
    **dict.fromkeys(
        (
            *("at", "at_once", "callers", "device_of", "distinct", "ended_by", "in_order", "lost_between", "near", "numbered"),
            *("rows_above", "rows_below", "same_function", "span", "subject_of", "times"),
        ),
        "diagnosing.subjects",
    ),
    **dict.fromkeys(("holds", "rows_where"), "diagnosing.condition"),
    **dict.fromkeys(("Shown", "unanswered", "unnamed"), "diagnosing.recorded"),
    **dict.fromkeys(("Detail", "fallback", "witness"), "diagnosing.witnesses"),
    **dict.fromkeys(("apart", "tick", "tick_of", "within"), "diagnosing.moments"),
    "Column": "tables.declaration",
    "Table": "tables.declaration",
    "GATES_TABLE": "tables.shared",
    "VM_DEVICES": "tables.shared",
    "PREDICTIONS": "tables.shared",
    **dict.fromkeys(
        (
            *("EPERM", "ENOENT", "EIO", "EBADF", "ENOMEM", "EBUSY", "EEXIST", "ENODEV", "EINVAL", "ENOTTY", "ENXIO", "ENODATA"),
            *("ENOSPC", "ERANGE", "ENOSYS", "EOPNOTSUPP", "ENOTSUPP"),
            *("VFIO_INTX", "VFIO_MSI", "VFIO_MSIX", "VFIO_ERR", "VFIO_REQ", "VFIO_NONE", "VFIO_SET_IRQS"),
            *("VFIO_DATA_NONE", "VFIO_DATA_BOOL", "VFIO_DATA_EVENTFD", "VFIO_MASK", "VFIO_UNMASK", "VFIO_TRIGGER"),
            *("CAP_MSI", "CAP_MSIX", "LARGEST_TABLE", "MAX_INDEX", "SWAPPED", "DOMID_SELF", "in_table"),
        ),
        "numbers",
    ),
    **dict.fromkeys(("csv_cell", "visible"), "unseen"),
    "API": "plugins.hooks",
    "full_bdf": "bdf",
    "ENVELOPE": "types",
    "Schema": "types",
}

if TYPE_CHECKING:
    from tracekit.bdf import full_bdf as full_bdf
    from tracekit.diagnosing.condition import holds as holds
    from tracekit.diagnosing.condition import rows_where as rows_where
    from tracekit.diagnosing.diagnoses import Diagnosis as Diagnosis
    from tracekit.diagnosing.diagnoses import diagnosis as diagnosis
    from tracekit.diagnosing.extension import Extension as Extension
    from tracekit.diagnosing.moments import apart as apart
    from tracekit.diagnosing.moments import tick as tick
    from tracekit.diagnosing.moments import tick_of as tick_of
    from tracekit.diagnosing.moments import within as within
    from tracekit.diagnosing.recorded import Shown as Shown
    from tracekit.diagnosing.recorded import unanswered as unanswered
    from tracekit.diagnosing.recorded import unnamed as unnamed
    from tracekit.diagnosing.subjects import at as at
    from tracekit.diagnosing.subjects import at_once as at_once
    from tracekit.diagnosing.subjects import callers as callers
    from tracekit.diagnosing.subjects import device_of as device_of
    from tracekit.diagnosing.subjects import distinct as distinct
    from tracekit.diagnosing.subjects import ended_by as ended_by
    from tracekit.diagnosing.subjects import in_order as in_order
    from tracekit.diagnosing.subjects import lost_between as lost_between
    from tracekit.diagnosing.subjects import near as near
    from tracekit.diagnosing.subjects import numbered as numbered
    from tracekit.diagnosing.subjects import rows_above as rows_above
    from tracekit.diagnosing.subjects import rows_below as rows_below
    from tracekit.diagnosing.subjects import same_function as same_function
    from tracekit.diagnosing.subjects import span as span
    from tracekit.diagnosing.subjects import subject_of as subject_of
    from tracekit.diagnosing.subjects import times as times
    from tracekit.diagnosing.witnesses import Detail as Detail
    from tracekit.diagnosing.witnesses import fallback as fallback
    from tracekit.diagnosing.witnesses import witness as witness
    from tracekit.errors import TracekitError as TracekitError
    from tracekit.findings import HOST as HOST
    from tracekit.findings import Evidence as Evidence
    from tracekit.findings import Finding as Finding
    from tracekit.findings import Outcome as Outcome
    from tracekit.findings import Subject as Subject
    from tracekit.findings import Unchecked as Unchecked
    from tracekit.findings import Verdict as Verdict
    from tracekit.findings import clear as clear
    from tracekit.findings import inconclusive as inconclusive
    from tracekit.findings import not_evaluated as not_evaluated
    from tracekit.fleet import Fleet as Fleet
    from tracekit.fleet import FleetCase as FleetCase
    from tracekit.fleet import FleetFault as FleetFault
    from tracekit.numbers import CAP_MSI as CAP_MSI
    from tracekit.numbers import CAP_MSIX as CAP_MSIX
    from tracekit.numbers import DOMID_SELF as DOMID_SELF
    from tracekit.numbers import EBADF as EBADF
    from tracekit.numbers import EBUSY as EBUSY
    from tracekit.numbers import EEXIST as EEXIST
    from tracekit.numbers import EINVAL as EINVAL
    from tracekit.numbers import EIO as EIO
    from tracekit.numbers import ENODATA as ENODATA
    from tracekit.numbers import ENODEV as ENODEV
    from tracekit.numbers import ENOENT as ENOENT
    from tracekit.numbers import ENOMEM as ENOMEM
    from tracekit.numbers import ENOSPC as ENOSPC
    from tracekit.numbers import ENOSYS as ENOSYS
    from tracekit.numbers import ENOTSUPP as ENOTSUPP
    from tracekit.numbers import ENOTTY as ENOTTY
    from tracekit.numbers import ENXIO as ENXIO
    from tracekit.numbers import EOPNOTSUPP as EOPNOTSUPP
    from tracekit.numbers import EPERM as EPERM
    from tracekit.numbers import ERANGE as ERANGE
    from tracekit.numbers import LARGEST_TABLE as LARGEST_TABLE
    from tracekit.numbers import MAX_INDEX as MAX_INDEX
    from tracekit.numbers import SWAPPED as SWAPPED
    from tracekit.numbers import VFIO_DATA_BOOL as VFIO_DATA_BOOL
    from tracekit.numbers import VFIO_DATA_EVENTFD as VFIO_DATA_EVENTFD
    from tracekit.numbers import VFIO_DATA_NONE as VFIO_DATA_NONE
    from tracekit.numbers import VFIO_ERR as VFIO_ERR
    from tracekit.numbers import VFIO_INTX as VFIO_INTX
    from tracekit.numbers import VFIO_MASK as VFIO_MASK
    from tracekit.numbers import VFIO_MSI as VFIO_MSI
    from tracekit.numbers import VFIO_MSIX as VFIO_MSIX
    from tracekit.numbers import VFIO_NONE as VFIO_NONE
    from tracekit.numbers import VFIO_REQ as VFIO_REQ
    from tracekit.numbers import VFIO_SET_IRQS as VFIO_SET_IRQS
    from tracekit.numbers import VFIO_TRIGGER as VFIO_TRIGGER
    from tracekit.numbers import VFIO_UNMASK as VFIO_UNMASK
    from tracekit.numbers import in_table as in_table
    from tracekit.picture.lane import LaneSource as LaneSource
    from tracekit.picture.lane import lane as lane
    from tracekit.picture.scale import Scale as Scale
    from tracekit.picture.scene import Scene as Scene
    from tracekit.pipeline import Engine as Engine
    from tracekit.pipeline import Options as Options
    from tracekit.pipeline import analyze as analyze
    from tracekit.plugins.hooks import API as API
    from tracekit.plugins.hooks import hookimpl as hookimpl
    from tracekit.replay.clock import before as before
    from tracekit.replay.gates import Gate as Gate
    from tracekit.replay.gates import Since as Since
    from tracekit.replay.gates import gate_value as gate_value
    from tracekit.replay.inputs import Inputs as Inputs
    from tracekit.replay.model import Model as Model
    from tracekit.replay.model import Row as Row
    from tracekit.replay.model import rows_of as rows_of
    from tracekit.replay.whatif import Fix as Fix
    from tracekit.replay.whatif import System as System
    from tracekit.run import Report as Report
    from tracekit.run import Run as Run
    from tracekit.run import SourceReport as SourceReport
    from tracekit.run import Suppressed as Suppressed
    from tracekit.simulate.answer import Answer as Answer
    from tracekit.simulate.answer import Fault as Fault
    from tracekit.simulate.answer import Grid as Grid
    from tracekit.simulate.answer import Pool as Pool
    from tracekit.simulate.answer import Signal as Signal
    from tracekit.simulate.answer import Step as Step
    from tracekit.simulate.plan import Foreseen as Foreseen
    from tracekit.simulate.plan import Perhaps as Perhaps
    from tracekit.simulate.plan import Plan as Plan
    from tracekit.simulate.scenario import Act as Act
    from tracekit.simulate.scenario import Device as Device
    from tracekit.simulate.scenario import Hotplug as Hotplug
    from tracekit.simulate.scenario import Request as Request
    from tracekit.simulate.scenario import Scenario as Scenario
    from tracekit.simulate.scenario import release_of as release_of
    from tracekit.simulate.simulator import Parts as Parts
    from tracekit.simulate.simulator import Simulator as Simulator
    from tracekit.tables.declaration import Column as Column
    from tracekit.tables.declaration import Table as Table
    from tracekit.tables.shared import GATES_TABLE as GATES_TABLE
    from tracekit.tables.shared import PREDICTIONS as PREDICTIONS
    from tracekit.tables.shared import VM_DEVICES as VM_DEVICES
    from tracekit.timeline import Bar as Bar
    from tracekit.timeline import Lane as Lane
    from tracekit.timeline import Mark as Mark
    from tracekit.timeline import Picture as Picture
    from tracekit.timeline import Timeline as Timeline
    from tracekit.timeline import Tone as Tone
    from tracekit.types import ENVELOPE as ENVELOPE
    from tracekit.types import Schema as Schema
    from tracekit.unseen import csv_cell as csv_cell
    from tracekit.unseen import visible as visible

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tracekit' has no attribute {name!r}")
    from tracekit.deprecation import used

    value = getattr(import_module(f"tracekit.{_HOMES[name]}"), name)
    if not used(f"tracekit.{name}"):  # a deprecated name is asked for anew, so that each plugin hears of it
        globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_HOMES, *(name for name in globals() if name.startswith("__"))})
