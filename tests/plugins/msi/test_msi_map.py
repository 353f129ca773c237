"""Host bridges whose device tree maps no messages of a function."""

import pytest

from tracekit.testing import findings, shape

MISSING = "OF: /soc/pcie@4c300000: no msi-map translation for id {} on (null)"
GAVE_UP = "r8169 0000:03:00.0: probe with driver r8169 failed with error {}"


def log(*messages: str) -> str:
    return "".join(f"[{20 + n:12.6f}] {message}\n" for n, message in enumerate(messages))


@pytest.mark.parametrize(
    "missing",
    [
        MISSING.format("0x300"),
        MISSING.format("0x300").replace(" id ", " rid "),
        MISSING.format("0x300").replace("(null)", "/interrupt-controller@6000000/gic-its@6020000"),
        MISSING.format("0x300").removeprefix("OF: "),
    ],
)
@pytest.mark.parametrize("errno", [-22, -28])
def test_a_function_without_an_entry_whose_driver_gives_up(missing: str, errno: int) -> None:
    (found,) = findings(log(missing, "r8169 0000:03:00.0: error -EINVAL: enable failure", GAVE_UP.format(errno)))
    assert shape([found]) == [("MSI-006", "probable", "0000:03:00.0", None, [1, 3])]
    assert found.summary == f"/soc/pcie@4c300000 maps no messages of 0000:03:00.0, and its driver gave up with {errno}"
    assert (found.severity, "`msi-map`" in found.advice) == ("high", True)


def test_a_vf_is_named_by_its_requester() -> None:
    text = log(MISSING.format("0x182"), "iavf 0001:01:10.2: probe with driver iavf failed with error -28")
    assert [f.subject.label for f in findings(text)] == ["0001:01:10.2"]


@pytest.mark.parametrize(
    ("missing", "after"),
    [
        (MISSING.format("0xf8"), "pcieport 0000:00:1f.0: PME: Signaling with IRQ 20"),  # an event collector of LS1028A
        (MISSING.format("0x300"), GAVE_UP.format(-5)),  # for another reason
        (MISSING.format("0x308"), GAVE_UP.format(-22)),  # another function
        (MISSING.format("0x300").replace("msi-map", "iommu-map"), GAVE_UP.format(-22)),
    ],
)
def test_a_function_that_works_or_fails_for_another_reason_is_none(missing: str, after: str) -> None:
    assert findings(log(missing, after)) == []


def test_it_explains_a_refusal_of_its_vectors() -> None:
    refused = "ath11k_pci 0000:03:00.0: failed to enable msi: -22"
    found = findings(log(MISSING.format("0x300"), refused, GAVE_UP.format(-22)))
    assert [(f.code, f.explained_by) for f in found] == [("MSI-006", None), ("MSI-004", "MSI-006")]
    assert [(f.code, f.explained_by) for f in findings(log(MISSING.format("0x300"), refused))] == [("MSI-004", None)]
