"""The device's side of an interrupt: Enable, entry and function masks, pending bits, where a message leads, and the line."""

from tracekit_msi.machines.interrupt_source import InterruptSource, Signal

from tracekit import VFIO_MSI, VFIO_MSIX


def told(signals: list[Signal]) -> list[tuple[int, int, str, int | None]]:
    return [(s.vector, s.at, s.fate, s.until) for s in signals]


def test_a_masked_entry_sets_its_pending_bit_and_sends_once_at_the_unmask() -> None:
    d = InterruptSource()
    d.enable(VFIO_MSIX, 0)
    d.unmask_function(1)
    d.attach(0, 1)
    assert d.signal(0, 2).fate == "delivered"
    d.mask(0)
    d.signal(0, 3)
    d.signal(0, 4)
    d.signal(1, 4)
    assert told(d.unmask(0, 9)) == [(0, 3, "late", 9), (0, 4, "late", 9)]
    assert told(d.signals) == [(0, 2, "delivered", 2), (0, 3, "late", 9), (0, 4, "late", 9), (1, 4, "pending", None)]
    assert d.unmask(0, 10) == []


def test_the_function_mask_holds_every_vector() -> None:
    d = InterruptSource()
    d.enable(VFIO_MSIX, 0)
    d.attach(0, 1)
    d.attach(1, 1)
    assert [d.signal(v, 2).why for v in (1, 0)] == ["the function is masked"] * 2
    assert told(d.unmask_function(5)) == [(0, 2, "late", 5), (1, 2, "late", 5)]
    d.mask_function()
    d.mask(1)
    assert [d.signal(v, 6).why for v in (0, 1)] == ["the function is masked", "its entry is masked"]
    assert told(d.unmask_function(7)) == [(0, 6, "late", 7)]


def test_what_is_pending_at_the_disable_is_kept_dropped_or_open() -> None:
    for keeps, fate, until in ((True, "late", 8), (False, "lost", None), (None, "unsure", 8)):
        d = InterruptSource(keeps=keeps)
        d.enable(VFIO_MSIX, 0)
        d.unmask_function(0)
        d.attach(0, 0)
        d.detach(0)
        s = d.signal(0, 1)
        d.disable()
        d.enable(VFIO_MSIX, 4)
        d.unmask_function(5)
        d.attach(0, 8)
        assert (s.fate, s.until) == (fate, until), keeps


def test_without_enable_nothing_is_sent_but_intx() -> None:
    assert InterruptSource().signal(0, 1).why == "MSI and MSI-X are off, so nothing is sent"
    off = InterruptSource(line=True, intx_disabled=True)
    assert off.signal(0, 1).why == "MSI and MSI-X are off and so is INTx, so nothing is sent"
    spills = InterruptSource(line=True)
    s = spills.signal(0, 1)
    assert (s.fate, s.why) == ("pending", "INTx has no handler")
    spills.enable(VFIO_MSIX, 2)
    assert (s.fate, s.why) == ("lost", "it asserts INTx, which has no handler, and the enable of MSI-X withdraws it")
    heard = InterruptSource(line=True)
    heard.line_on(0)
    assert (heard.signal(0, 1).fate, heard.signals[0].why) == ("delivered", "by INTx")


def test_plain_msi_without_mask_bits_sends_wherever_its_message_leads() -> None:
    d = InterruptSource(maskable=False)
    d.enable(VFIO_MSI, 0, range(2))
    waits = d.signal(1, 1)
    assert told(d.attach(1, 3)) == [(1, 1, "late", 3)]  # genirq sends it again at the request
    assert waits.why == "its irq is not requested yet"
    d.detach(1)
    assert (d.signal(1, 4).fate, d.signal(1, 4).why) == ("lost", "no mask bit holds it back, and its message leads to no irq")
    dropped = d.signal(0, 5)
    d.disable()
    assert (dropped.fate, dropped.why) == ("lost", "its irq is not requested yet, and the disable of MSI drops it")


def test_plain_msi_with_mask_bits_waits_as_msix_does() -> None:
    d = InterruptSource(maskable=True, keeps=True)
    d.enable(VFIO_MSI, 0, range(2))
    assert d.signal(0, 1).why == "its entry is masked"
    assert told(d.attach(0, 3)) == [(0, 1, "late", 3)]
    d.detach(0)
    d.signal(0, 4)
    d.disable()
    d.enable(VFIO_MSI, 6)
    assert told(d.attach(0, 7)) == [(0, 4, "late", 7)]


def test_a_line_stays_asserted_until_it_is_served() -> None:
    d = InterruptSource(line=True)
    d.signal(0, 1)
    assert told(d.line_on(2)) == [(0, 1, "late", 2)]  # level: what was asserted before the handler came
    d.signal(0, 3)
    assert d.unmask_line(4) == []  # the guest has yet to serve the first
    assert told(d.served(5)) == [(0, 3, "late", 5)]
    assert d.served(6) == []
    d.mask_line()
    d.signal(0, 7)
    d.line_off()
    d.signal(0, 8)
    assert d.line_on(8) == []  # the guest's own mask outlives the handler
    assert told(d.unmask_line(9)) == [(0, 7, "late", 9), (0, 8, "late", 9)]
    d.mask_line()
    d.signal(0, 10)
    assert d.served(11) == []
    assert told(d.unmask_line(12)) == [(0, 10, "late", 12)]
    assert [s.why for s in d.signals] == [
        "INTx has no handler",
        "INTx is masked while the guest serves it",
        "INTx is masked",
        "INTx has no handler",
        "INTx is masked while the guest serves it",
    ]
