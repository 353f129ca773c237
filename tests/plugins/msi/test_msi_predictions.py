"""The replay of enables, inserts and domains: what follows from known state, and what a healthy system does where that is not shown."""

import pytest
from opening import DEV, VDEV, back, call, trace

from tracekit.replay.score import score
from tracekit.testing import tables

SET, ENABLE, INSERT = "vfio_pci_set_irqs_ioctl", "__pci_enable_msix_range", "msi_insert_desc"
SETUP, SETUP_MSI, CREATE = "pci_setup_msix_device_domain", "pci_setup_msi_device_domain", "msi_create_device_irq_domain"


def told(text):
    """(operation, predicted, observed, basis) of every operation but the activations of vectors."""
    rows = tables(text)["predictions"].select("operation", "predicted", "observed", "basis").rows()
    return [r for r in rows if r[0] != "vector_activate"]


def request(count, *inside, index=2, ret=0):
    return (call(SET, f"vdev={VDEV} flags=0x24 index={index} start=0 count={count}"), *inside, back(SET, ret))


def test_a_request_that_vfio_let_pass_has_its_vectors():
    text = trace(*request(4, call(ENABLE, f"dev={DEV} minvec=1 maxvec=4"), back(ENABLE, 4)))
    assert told(text)[0] == ("enable", "4", "4", "healthy")
    old = "[    0.000000] Linux version 6.1.0-44-amd64 (x@y) (gcc-12) #1 SMP\n" + "[    2.000000] x\n"
    assert tables(old, text)["predictions"]["predicted"].to_list()[0] == "4"


def test_an_enable_without_arguments_returns_what_was_inserted():
    inserts = [line for i in range(3) for line in (call(INSERT, f"dev={DEV} domid=0 index={i}"), back(INSERT, 0))]
    text = trace(*request(3, call(ENABLE, f"dev={DEV}"), *inserts, back(ENABLE, 3)))
    assert ("enable", "3", "3", "known") in told(text)
    refused = [*inserts, call(INSERT, f"dev={DEV} domid=0 index=3"), back(INSERT, -34)]
    text = trace(*request(4, call(ENABLE, f"dev={DEV}"), *refused, back(ENABLE, -34), ret=-34))
    assert ("enable", "-34", "-34", "known") in told(text)


def test_an_index_that_the_kernel_tries_lies_in_the_table():
    one = trace(
        *request(
            1, call(ENABLE, f"dev={DEV} minvec=1 maxvec=1"), call(INSERT, f"dev={DEV} domid=0 index=0"), back(INSERT, 0), back(ENABLE, 1)
        )
    )
    assert ("insert", "0", "0", "healthy") in told(one)


def domain(setup, kind_size, made):
    """A set-up that creates a domain."""
    return (
        call(setup, f"dev={DEV} hwsize={kind_size}"),
        call(CREATE, f"dev={DEV} domid=0 hwsize={made}"),
        back(CREATE, 1),
        back(setup, 1),
    )


def test_a_domain_of_plain_msi_is_none_of_msi_x():
    msi = request(
        4,
        call("__pci_enable_msi_range", f"dev={DEV} minvec=1 maxvec=4"),
        *domain(SETUP_MSI, 32, 32),
        back("__pci_enable_msi_range", 4),
        index=1,
    )
    off = (call(SET, f"vdev={VDEV} flags=0x21 index=1 start=0 count=0"), call("pci_free_irq_vectors", f"dev={DEV}"), back(SET, 0))
    msix = request(2, call(ENABLE, f"dev={DEV} minvec=1 maxvec=2"), *domain(SETUP, 64, 64), back(ENABLE, 2))
    made = tables(trace(*msi, *off, *msix))
    assert score(made, []).divergences == 0
    created = [r for r in told(trace(*msi, *off, *msix)) if r[0] == "domain_create"]
    assert created == [("domain_create", "1", "1", "healthy"), ("domain_create", "1", "1", "known")]
    assert made["msi_domains"].select("kind", "hwsize", "cause").rows() == [("msi", 32, "replaced"), ("msix", 64, None)]
    assert made["enables"].select("kind", "live", "hwsize").rows()[1] == ("msix", 64, 64)


def test_a_second_creation_of_one_kind_is_a_divergence_unless_the_driver_may_have_been_unbound():
    first = request(2, call(ENABLE, f"dev={DEV} minvec=1 maxvec=2"), *domain(SETUP, 8, 8), back(ENABLE, 2))
    off = (call(SET, f"vdev={VDEV} flags=0x21 index=2 start=0 count=0"), call("pci_free_irq_vectors", f"dev={DEV}"), back(SET, 0))
    closed = (call("vfio_pci_core_close_device", f"vdev={VDEV}"),)
    assert score(tables(trace(*first, *off, *first)), []).divergences == 1
    assert score(tables(trace(*first, *off, *closed, *first)), []).divergences == 0
    other = (call("msi_remove_device_irq_domain", "dev=0xff110000000090c8 domid=0"),)  # removals are recorded: of this function is none
    assert score(tables(trace(*other, *first, *off, *closed, *first)), []).divergences == 1


@pytest.mark.parametrize(("ret", "divergences"), [(-22, 0), (2, 0), (-28, 1)])
def test_enabling_twice_is_refused_where_nothing_was_freed_between(ret, divergences):
    """Whether the free is recorded is not known, so the other result is possible too; a shortage is not."""
    once = (call(SETUP, f"dev={DEV} hwsize=4"), back(SETUP, 1), call(ENABLE, f"dev={DEV} minvec=1 maxvec=2"), back(ENABLE, 2))
    again = (call(ENABLE, f"dev={DEV} minvec=1 maxvec=2"), back(ENABLE, ret))
    assert score(tables(trace(*once, *again)), []).divergences == divergences


@pytest.mark.parametrize(("size", "kind"), [(0, "msix"), (0x10000, "msix"), (0x10001, "none")])
def test_a_domain_is_no_larger_than_the_index_space(size, kind):
    from tracekit_msi.machines.msi_domain import LARGEST, MsiDomain

    made = MsiDomain(True, "none")
    made.create("msix", size)
    assert (made.kind, made.limit()) == (kind, LARGEST if kind == "msix" else None)
    assert LARGEST == 0xFFFF + 1


def test_any_index_is_the_lowest_that_is_free():
    from tracekit_msi.machines.msi_domain import ANY_INDEX, MsiDomain

    made = MsiDomain(True, "none")
    made.create("msix", 3)
    assert [min(made.insert(i)) for i in (0, 2, ANY_INDEX, ANY_INDEX)] == [0, 0, 0, -34]


def test_a_set_up_that_succeeds_has_a_domain_whose_kind_decides_what_the_next_creation_gives():
    msix = request(2, call(SETUP, f"dev={DEV} hwsize=8"), back(SETUP, 1), call(ENABLE, f"dev={DEV} minvec=1 maxvec=2"), back(ENABLE, 2))
    off = (call(SET, f"vdev={VDEV} flags=0x21 index=2 start=0 count=0"), call("pci_free_irq_vectors", f"dev={DEV}"), back(SET, 0))
    msi = request(
        4,
        call("__pci_enable_msi_range", f"dev={DEV} minvec=1 maxvec=4"),
        *domain(SETUP_MSI, 32, 32),
        back("__pci_enable_msi_range", 4),
        index=1,
    )
    assert [r for r in told(trace(*msix, *off, *msi)) if r[0] == "domain_create"] == [("domain_create", "1", "1", "known")]
