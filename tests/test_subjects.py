"""How a device is named where the log does not name it."""

import pytest

from tracekit.subjects import NAMED_BY, subject_of

POINTERS = {"device": 0xFFFF888000001000, "vdev": 0xFFFF888000002000}
NONE = {"device": None, "vdev": None, "bdf": None}


@pytest.mark.parametrize(
    ("row", "label", "aliases", "how"),
    [
        (
            {**POINTERS, "bdf": "0000:41:00.0"},
            "0000:41:00.0",
            ("pci_dev 0xffff888000001000", "vdev 0xffff888000002000"),
            None,
        ),
        ({**POINTERS, "bdf": None}, "pci_dev 0xffff888000001000", ("vdev 0xffff888000002000",), NAMED_BY),
        ({**NONE, "vdev": 0x2000}, "vdev 0x2000", (), NAMED_BY),
        ({**NONE, "task": "qemu-kvm", "tid": 812}, "an unnamed device", (), f"of qemu-kvm-812; {NAMED_BY}"),
        ({**NONE, "task": "qemu-kvm", "tid": None}, "an unnamed device", (), NAMED_BY),
    ],
)
def test_the_best_name_there_is(row: dict[str, object], label: str, aliases: tuple[str, ...], how: str | None) -> None:
    subject = subject_of(row)
    assert (subject.label, subject.bdf, subject.aliases, subject.how) == (label, row["bdf"], aliases, how)
