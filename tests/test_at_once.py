"""Lines that follow at once: stamps of whole seconds tie by the order of lines."""

import pytest

from tracekit.diagnosing.subjects import at_once

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("line", "later", "same"),
    [
        (11, 6 * SECOND, True),  # the second turned between two lines
        (40, 6 * SECOND, False),
        (11, 7 * SECOND, False),
        (11, 6 * SECOND + 1000, False),  # a fine stamp: time decides
        (9, 5 * SECOND, False),
    ],
)
def test_whole_seconds_tie_by_lines(line: int, later: int, same: bool) -> None:
    earlier = {"source": "xen.log", "line": 10, "ts": 5 * SECOND}
    assert at_once(earlier, {"source": "xen.log", "line": line, "ts": later}, 12, 100) is same
