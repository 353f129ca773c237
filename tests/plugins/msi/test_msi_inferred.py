"""MSI-001 from function graphs without return values: the shape of a refused insert, and unwindings for other reasons that stay quiet."""

import pytest

from tracekit.testing import findings


def graph(lines: list[str], lane: str = " 1)  vmm-7 ") -> str:
    """A function graph without return values: the indent of each line is its depth."""
    spans = ("              " if line.endswith("{") else "   1.072 us   " for line in lines)
    return "# tracer: function_graph\n#\n" + "".join(f"{lane}| {span} |  {line}\n" for line, span in zip(lines, spans, strict=True))


def call(name: str, inside: list[str]) -> list[str]:
    return [f"{name}() {{", *(f"  {line}" for line in inside), f"}} /* {name} */"]


def enable(inserts: int, *, setup: list[str] | None = None, after: list[str] | None = None, insert: str = "msi_insert_desc") -> list[str]:
    """One enable: inserts, then `after` (the unwinding)."""
    if setup is None:
        setup = ["msi_match_device_irq_domain();"]
    descs = call("msix_setup_msi_descs", [f"{insert}();"] * inserts)
    domain = call("pci_setup_msix_device_domain", setup)
    unwinding = ["msi_domain_free_irqs_all_locked();"] if after is None else after
    return call("__pci_enable_msix_range", [*domain, *descs, *unwinding])


def request(*enables: list[str]) -> list[str]:
    return call("vfio_pci_set_irqs_ioctl", call("vfio_pci_set_msi_trigger", [line for e in enables for line in e]))


def wired(vectors: int) -> list[str]:
    return call("vfio_msi_set_vector_signal", ["request_threaded_irq();"]) * vectors


def stale(text: str) -> list[tuple[str | None, object, object, object]]:
    return [(f.grade, f.values["old_size"], f.values["index"], f.values["errno"]) for f in findings(text) if f.code == "MSI-001"]


@pytest.mark.parametrize("inserts", [2, 5, 17])
@pytest.mark.parametrize("insert", ["msi_insert_desc", "msi_insert_desc.isra.0", "msi_domain_insert_msi_desc"])
@pytest.mark.parametrize("lane", [" 1)  vmm-7   ", " 11)  CPU-90210  "])
def test_inserts_then_unwinding_with_the_old_domain_is_possibly_a_refused_index(inserts: int, insert: str, lane: str) -> None:
    assert stale(graph(request(enable(inserts, insert=insert)), lane)) == [("possible", inserts - 1, inserts - 1, None)]


def test_the_errno_is_said_to_be_unknown() -> None:
    (found,) = (f for f in findings(graph(request(enable(5)))) if f.code == "MSI-001")
    assert "errno not recorded" in found.summary
    assert "-34" not in found.summary
    assert any("errno" in u.guard for u in found.unchecked)


@pytest.mark.parametrize("unwinding", ["pci_msi_teardown_msi_irqs();", "pci_free_msi_irqs();", "msi_domain_free_irqs_all_locked();"])
def test_each_unwinding_tells(unwinding: str) -> None:
    assert stale(graph(request(enable(9, after=[unwinding])))) == [("possible", 8, 8, None)]


def test_fewer_vectors_taken_right_after_make_it_probable() -> None:
    again = enable(4, after=["msi_domain_alloc_irqs_all_locked();"])
    text = graph(request(enable(5)) + request([*again, *wired(4)]))
    assert stale(text) == [("probable", 4, 4, None)]


@pytest.mark.parametrize(
    "after",
    [
        ["msi_domain_alloc_irqs_all_locked();", "msi_domain_free_irqs_all_locked();"],  # an irq or vector could not be set up
        ["pci_msi_setup_msi_irqs();", "pci_msi_teardown_msi_irqs();"],
        ["x86_vector_alloc_irqs();", "msi_domain_free_irqs_all_locked();"],
        [],  # the recording ends, or its filter has no unwinding
    ],
)
def test_an_unwinding_for_another_reason_is_quiet(after: list[str]) -> None:
    assert stale(graph(request(enable(5, after=after)))) == []


def test_a_domain_made_in_the_attempt_is_quiet() -> None:
    assert stale(graph(request(enable(5, setup=["msi_create_device_irq_domain();"])))) == []


def test_one_insert_tells_nothing_about_a_size() -> None:
    assert stale(graph(request(enable(1)))) == []


def test_a_graph_whose_filter_hides_the_setting_up_of_irqs_is_quiet() -> None:
    text = graph(request(enable(5)) + request([*enable(3, after=[]), *wired(3)]))
    assert stale(text) == []


def test_an_enable_that_succeeded_is_quiet() -> None:
    good = enable(5, after=["msi_domain_alloc_irqs_all_locked();"])
    assert stale(graph(request([*good, *wired(5)]))) == []


def lspci(count: int, bdf: str = "2e:00.1", enabled: str = "+") -> str:
    head = f"{bdf} Ethernet controller: Pensando Systems DSC Ethernet Controller VF\n"
    return f"{head}\tCapabilities: [a0] MSI-X: Enable{enabled} Count={count} Masked-\n"


FAILED = "qemu-system-x86_64: vfio: failed to enable vectors, -1\n"


@pytest.mark.parametrize(("old", "new", "bdf"), [(8, 16, "2e:00.1"), (4, 2048, "0001:c1:1f.7")])
def test_a_table_read_at_two_sizes_before_a_failed_enable_is_possibly_an_old_domain(old: int, new: int, bdf: str) -> None:
    (found,) = (f for f in findings(lspci(new, bdf, "-"), lspci(old, bdf), FAILED) if f.code == "MSI-001")
    assert (found.grade, found.subject.bdf, found.values["old_size"], found.values["live"]) == ("possible", bdf, old, new)
    assert "-34" not in found.summary
    assert len(found.evidence) == 3


@pytest.mark.parametrize(
    "texts",
    [
        (lspci(8), lspci(16)),  # nothing failed
        (lspci(16), lspci(16), FAILED),  # nothing grew
        (lspci(8), lspci(16, "2e:00.2"), FAILED),  # two functions
        (lspci(16) + lspci(8), FAILED),  # it shrank
        (lspci(8), lspci(16), FAILED.replace("-1", "-28")),  # another errno
        (lspci(8), lspci(16), FAILED, "Linux host 6.1.0-18 #1 SMP x86_64 GNU/Linux\n"),  # no domain a device yet
    ],
)
def test_table_sizes_without_growth_or_failure_are_quiet(texts: tuple[str, ...]) -> None:
    assert [f for f in findings(*texts) if f.code == "MSI-001"] == []
