"""Samples: the lines on which a source's envelopes are settled: the first ones, and the kernel's where these begin further down."""

from collections.abc import Mapping

import polars as pl

from tracekit.grammar.rules import Rule
from tracekit.parsing.envelopes import Layout

LINES = 1000
_KERNELS = r"\bkernel(?:\[[0-9]+\])?: |\[ {0,6}[0-9]{1,7}\.[0-9]{6}\] "  # a collector's tag, a stamp of printk
_LATE = 200  # lines of the kernel that tell what stands before all of them


def sample(lines: pl.DataFrame) -> list[str]:
    """Return the first lines."""
    return lines["text"].head(LINES).to_list()


def completed(layout: Layout, lines: pl.DataFrame, rules: Mapping[str, Rule]) -> Layout:
    """Return the layout with the envelopes of the kernel's lines, where it was settled on lines without any.

    A system's log may begin with hours of other programs, the log of a CI job with a build: the machine boots below.
    """
    if layout.kernel or layout.trace:
        return layout
    text = lines["text"]
    late = text.filter(text.str.contains(_KERNELS)).head(_LATE).to_list()
    # These were chosen for their shape: it proves nothing that half of them have one.
    sure = {name: rule for name, rule in rules.items() if not rule.marks.believed}
    return layout.and_also(Layout.settle(sure, late)) if late else layout
