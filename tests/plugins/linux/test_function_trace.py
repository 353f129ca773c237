"""Functions that the function tracer prints, in its own text and in that of trace-cmd report: entries of calls, with arguments or without."""

from pathlib import Path

import pytest

from tracekit.findings import Finding
from tracekit.pipeline import analyze
from tracekit.testing import findings, tables

HEAD = "# tracer: function\n#\n#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n"
ARGS = {
    "vfio_pci_set_irqs_ioctl": "vdev=0xff11000004cae000, flags=0x{flags:x}, index=0x2, start=0x0, count=0x{count:x}, data=0xff11000003c2",
    "vfio_msi_disable": "vdev=0xff11000004cae000, msix=0x1",
    "__pci_enable_msix_range": "dev=0xff110000036c1000, entries=0x0, minvec=0x1, maxvec=0x{count:x}, affd=0x0, flags=0x0",
}
FORMS = {
    "plain": "{f} <-{p}",
    "sym-offset": "{f}+0x4/0x60 [vfio_pci_core] <-{p}+0x3e/0x90 [vfio_pci_core]",
    "sym-addr": "{f}+0x4/0x60 <ffffffff8d1937d4> <-{p}+0x3e/0x90 <ffffffff8cb64c8e>",
    "func-args": "{f}({a}) <-{p}",
    "func-args of an address": "{f} <ffffffff8d1937d4>({a}) <-{p} <ffffffff8cb64c8e>",
    "func-no-repeats": "{f} <-{p} (repeats: 1, last_ts:    96.220577)",
    "trace-cmd": "function:             {f}",
    "trace-cmd, parents": "function:                {f} <-- {p}",
}


class FunctionTrace:
    """Writes what the function tracer would of a client of VFIO."""

    def __init__(self, form: str) -> None:
        self.form, self.at, self.lines = FORMS[form], 20.0, [HEAD]

    def call(self, function: str, parent: str, after: float = 0.0001, **values: int) -> None:
        self.at += after
        args = ARGS.get(function, "").format(**values)
        text = self.form.format(f=function, p=parent, a=args)
        self.lines.append(f"              vc-200     [000] ..... {self.at:12.6f}: {text}\n")

    def set_irqs(self, count: int) -> None:
        self.call("vfio_pci_core_ioctl", "vfio_device_fops_unl_ioctl", 0.05)
        self.call("vfio_pci_set_irqs_ioctl", "vfio_pci_core_ioctl", flags=0x24 if count else 0x21, count=count)
        self.call("vfio_pci_set_msi_trigger", "vfio_pci_core_ioctl")
        if not count:
            self.call("vfio_msi_disable", "vfio_pci_set_msi_trigger")
            self.call("pci_free_irq_vectors", "vfio_msi_disable")
            return
        self.call("pci_alloc_irq_vectors_affinity", "vfio_pci_set_msi_trigger")
        self.call("__pci_enable_msix_range", "pci_alloc_irq_vectors_affinity", count=count)
        self.call("vfio_msi_set_block", "vfio_pci_set_msi_trigger")
        for _ in range(count):
            self.call("vfio_msi_set_vector_signal", "vfio_msi_set_block")

    def __str__(self) -> str:
        return "".join(self.lines)


def client(form: str, *counts: int) -> str:
    t = FunctionTrace(form)
    for count in counts:
        t.set_irqs(count)
        for _ in range(4 if count else 0):
            t.call("vfio_msihandler", "__handle_irq_event_percpu", 0.01)
            t.call("eventfd_signal_mask", "vfio_msihandler")
    return str(t)


def windows(found: list[Finding]) -> list[tuple[str, str | None, str]]:
    return [(f.code, f.grade, f.summary) for f in found if f.grade]


@pytest.mark.parametrize("form", FORMS)
def test_a_growth_is_a_window_in_each_form(form: str) -> None:
    (told,) = windows(findings(client(form, 1, 0, 3)))
    told_of = "pci_dev 0xff110000036c1000" if "{a}" in FORMS[form] else "an unnamed device"
    assert told == ("VFIO-002", "probable", f"1 window without interrupts while the vectors of {told_of} grew 1 -> 3, vector 0 in use")


@pytest.mark.parametrize("form", FORMS)
def test_all_vectors_at_once_are_none(form: str) -> None:
    assert windows(findings(client(form, 3))) == []


def test_arguments_of_the_function_tracer_are_those_of_probes() -> None:
    asked = tables(client("func-args", 1, 0, 3))["op_set_irqs"]
    assert asked.select("flags", "index", "start", "count", "ret").rows() == [
        (0x24, 2, 0, 1, None),
        (0x21, 2, 0, 0, None),
        (0x24, 2, 0, 3, None),
    ]
    assert asked["vdev"].unique().to_list() == [0xFF11000004CAE000]


def test_calls_nest_by_what_can_call_what_and_have_no_ends() -> None:
    calls = tables(client("plain", 2))["calls"].remove(function="vfio_msihandler")
    within = {row["id"]: row["function"] for row in calls.to_dicts()}
    assert {row["function"]: within.get(row["parent"]) for row in calls.to_dicts()} == {
        "vfio_pci_core_ioctl": None,
        "vfio_pci_set_irqs_ioctl": "vfio_pci_core_ioctl",
        "vfio_pci_set_msi_trigger": "vfio_pci_set_irqs_ioctl",
        "pci_alloc_irq_vectors_affinity": "vfio_pci_set_msi_trigger",
        "__pci_enable_msix_range": "pci_alloc_irq_vectors_affinity",
        "vfio_msi_set_block": "vfio_pci_set_msi_trigger",
        "vfio_msi_set_vector_signal": "vfio_msi_set_block",
    }
    assert calls["complete"].unique().to_list() == ["entry"]


def test_a_function_that_a_probe_shows_too_is_one_call() -> None:
    traced = client("plain", 1)
    probe = "              vc-200     [000] .....    20.050200: k: (vfio_pci_set_irqs_ioctl+0x4/0x60) flags=0x24 index=2 start=0 count=1\n"
    calls = tables(traced + probe)["calls"]
    assert calls.filter(calls["function"] == "vfio_pci_set_irqs_ioctl")["probe"].to_list() == ["k"]


def test_a_trace_of_other_functions_makes_no_calls() -> None:
    t = FunctionTrace("plain")
    for n in range(30):
        t.call("mutex_unlock" if n % 2 else "vfs_read", "__x64_sys_read")
    assert tables(str(t))["calls"].is_empty() and findings(str(t)) == []


def test_an_enable_after_which_nothing_is_set_up_is_not_clear(tmp_path: Path) -> None:
    """No result is recorded: that vectors are set up below shows that an enable succeeded, and nothing shows it of the last one here."""
    whole, log = client("plain", 1, 0, 3), tmp_path / "trace.txt"
    codes = ("MSI-001", "MSI-004", "MSI-006", "MSI-007")
    for text, outcome in ((whole, "clear"), (whole[: whole.rindex("vfio_msi_set_block <-vfio_pci_set_msi_trigger") - 48], "inconclusive")):
        log.write_text(text)
        outcomes = {o.code: o.outcome for o in analyze([str(log)]).outcomes}
        assert [outcomes[code] for code in codes] == [outcome] * 4
