"""The reports by name, each without its module: a run writes one or two of them, and loads no other."""

from importlib import import_module
from typing import Any

_RUN, _FLEET, _SIMULATION = ("write",), ("write_fleet",), ("write_answer", "write_grid", "write_plan")


def _later(name: str, module: str, *methods: str, draws: bool = False, binary: bool = False) -> type:
    """Return what stands for a report until it is written. `methods`: those that it has."""
    kind = f"{name.title()}Report"

    def whole() -> type:
        found: type = getattr(import_module(f"tracekit_reports.{module}"), kind)
        return found

    def calling(method: str) -> Any:
        def write(self: object, *about: Any) -> str | bytes:
            report: str | bytes = getattr(whole()(), method)(*about)
            return report

        return write

    return type(
        kind, (), {"name": name, "draws": draws, "binary": binary, "whole": staticmethod(whole), **{m: calling(m) for m in methods}}
    )


REPORTS = (
    _later("terminal", "terminal", *_RUN, *_FLEET, *_SIMULATION, draws=True),
    _later("markdown", "markdown", *_RUN, *_FLEET, *_SIMULATION),
    _later("html", "html", *_RUN, *_FLEET, *_SIMULATION, draws=True),
    _later("svg", "svg", *_RUN, "write_answer", "write_timeline", draws=True),
    _later("json", "json", *_RUN, *_FLEET, *_SIMULATION),
    _later("sarif", "sarif", *_RUN),
    _later("junit", "junit", *_RUN),
    _later("csv", "csv", *_RUN, *_FLEET),
    _later("github", "annotations", *_RUN),
    _later("gitlab", "annotations", *_RUN),
    _later("perfetto", "perfetto", *_RUN, draws=True, binary=True),
)
