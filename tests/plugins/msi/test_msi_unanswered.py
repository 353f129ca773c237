"""MSI-001 and MSI-002 where a recording has the refusal in part: sizes alone, the enable alone, inserts alone, or no return values."""

import pytest
from kernel_log import of
from opening import back, call, trace

from tracekit.testing import findings, outcome, run

ENABLE, INSERT, SETUP, CREATE = "__pci_enable_msix_range", "msi_insert_desc", "pci_setup_msix_device_domain", "msi_create_device_irq_domain"
DEV = "dev=0xff11000106300000"
INSIDE = "dev=0xff110001063000c8 domid=0"
SET_IRQS = "vfio_pci_set_irqs_ioctl"


def told(text: str) -> list[tuple[str, str | None, list[int]]]:
    """Code, grade and lines of what is found of MSI."""
    return [(f.code, f.grade, [e.line for e in f.evidence]) for f in findings(text) if f.code.startswith("MSI")]


def graph(*lines: str) -> str:
    """Lines of a function graph: what ends has its duration."""
    return "# tracer: function_graph\n#\n" + "".join(f" 3) {'' if x.endswith('{') else '1.204 us':>10}    |  {x}\n" for x in lines)


def sizes(live: int, hwsize: int, ret: str, *more: str) -> str:
    read = f"  pci_msix_vec_count(); /* = {live:#x} */", f"  msi_domain_get_hwsize(); /* = {hwsize:#x} */"
    return graph(f"{ENABLE}() {{", *read, *more, f"}} /* {ENABLE} = {ret} */")


# The sizes of domain and table, read in the enable that returned -34


@pytest.mark.parametrize(("live", "hwsize"), [(16, 8), (2, 1), (2048, 3)])
def test_sizes_read_in_an_enable_that_returned_34_prove_it(live: int, hwsize: int) -> None:
    text = sizes(live, hwsize, "-34")
    assert told(text) == [("MSI-001", "proven", [3, 4, 5, 6])]
    (found,) = of("MSI-001", text)
    assert {k: found.values[k] for k in ("old_size", "live", "index", "errno")} == {
        "old_size": hwsize,
        "live": live,
        "index": None,
        "errno": -34,
    }
    assert f"has hwsize {hwsize}, the MSI-X table {live}: an index beyond it refused with -34" in found.summary


@pytest.mark.parametrize(
    "text",
    [
        sizes(16, 16, "-34"),  # equal sizes: it was not this
        sizes(16, 0, "-34"),  # no domain at all: every index is refused
        sizes(16, 8, "-34", f"  {CREATE}(); /* = 0x1 */"),  # the domain was made inside
    ],
)
def test_sizes_that_explain_no_refusal_are_no_finding_and_no_all_clear(text: str) -> None:
    assert [c for c, grade, _ in told(text) if c == "MSI-001" and grade != "possible"] == []
    assert outcome(run(text), "MSI-001").outcome != "clear" or CREATE in text


def test_sizes_that_differ_in_an_enable_that_worked_are_latent() -> None:
    assert [(c, g) for c, g, _ in told(sizes(16, 8, "0x8"))] == [("MSI-002", "proven")]


def test_a_size_read_while_an_index_is_inserted_is_that_of_the_insert() -> None:
    text = graph(
        f"{ENABLE}() {{", "  pci_msix_vec_count(); /* = 0x9 */", f"  {INSERT}() {{", "    msi_domain_get_hwsize(); /* = 0x1 */",
        f"  }} /* {INSERT} = 0 */", f"  {INSERT}() {{", "    msi_domain_get_hwsize(); /* = 0x1 */", f"  }} /* {INSERT} = -34 */",
        f"}} /* {ENABLE} = -34 */",
    )  # fmt: skip
    assert [(c, g) for c, g, _ in told(text)] == [("MSI-001", "proven")]


# The -34 of an enable alone


def enable(least: int, most: int, ret: int | None = -34) -> list[str]:
    return [call(ENABLE, f"{DEV} minvec={least} maxvec={most}"), *([] if ret is None else [back(ENABLE, ret)])]


def asked(*inside: str, count: int = 16, ret: int = -34) -> list[str]:
    return [call(SET_IRQS, f"vdev=0xff11000106400000 flags=0x24 index=2 start=0 count={count}"), *inside, back(SET_IRQS, ret)]


@pytest.mark.parametrize(("least", "most"), [(1, 16), (4, 4), (2, 300)])
def test_the_34_of_an_enable_that_asks_for_no_fewer_than_its_least_is_probable(least: int, most: int) -> None:
    assert told(trace(*enable(least, most))) == [("MSI-001", "probable", [1, 2])]


@pytest.mark.parametrize("lines", [enable(1, 0), enable(8, 4), enable(1, 16, 16), enable(1, 16, -28), asked(*enable(1, 0), count=0)])
def test_an_empty_request_and_another_errno_are_quiet(lines: list[str]) -> None:
    assert [t for t in told(trace(*lines)) if t[0] == "MSI-001"] == []
    assert outcome(run(trace(*lines)), "MSI-001").outcome == "clear"


def test_more_evidence_never_takes_the_finding_away() -> None:
    alone = told(trace(*asked()))
    assert alone == [("MSI-001", "possible", [1])]
    assert told(trace(*asked(enable(1, 16)[0]))) == alone  # the return of the enable is not recorded
    assert told(trace(*asked(back(ENABLE, -34)))) == [("MSI-001", "possible", [2])]  # nor its entry
    assert told(trace(*asked(*enable(1, 16)))) == [("MSI-001", "probable", [2, 4, 3])]


def test_an_enable_that_worked_tells_that_a_request_failed_for_another_reason() -> None:
    assert told(trace(*asked(*enable(1, 16, 16)))) == []


def test_a_bare_34_of_a_return_probe_is_possible_and_no_all_clear() -> None:
    assert told(trace(back(ENABLE, -34))) == [("MSI-001", "possible", [1])]
    assert told(trace(*asked(back(ENABLE, -34), count=0))) == []
    assert outcome(run(trace(*asked(back(ENABLE, -34), count=0))), "MSI-001").outcome == "inconclusive"
    assert told(trace(back("__pci_enable_msi_range", -34))) == []


# Inserts without return values


def made(size: int) -> list[str]:
    """A first enable, in which a domain of that size is made."""
    inside = [call(SETUP, f"{DEV} hwsize={size}"), call(CREATE, f"{INSIDE} hwsize={size}")]
    return [call(ENABLE, f"{DEV} minvec=1 maxvec={size}"), *inside, *(call(INSERT, f"{INSIDE} index={i}") for i in range(size))]


def later(live: int, indices: int, *more: str) -> list[str]:
    asked = [call(ENABLE, f"{DEV} minvec=1 maxvec={live}"), call(SETUP, f"{DEV} hwsize={live}"), *more]
    return [*asked, *(call(INSERT, f"{INSIDE} index={i}") for i in range(indices))]


@pytest.mark.parametrize(("old", "live"), [(2, 4), (1, 16)])
def test_an_index_that_the_domain_cannot_have_was_refused(old: int, live: int) -> None:
    text = trace(*made(old), *later(live, old + 1))
    begin = old + 4
    assert told(text) == [("MSI-001", "probable", [2, 3, begin + 1, begin + 2, begin + 2 + old])]
    (found,) = of("MSI-001", text)
    assert (found.values["old_size"], found.values["live"], found.values["index"], found.values["errno"]) == (old, live, old, None)
    assert found.summary.endswith(f"index {old} refused; errno not recorded")


@pytest.mark.parametrize(
    "text",
    [
        trace(*made(4), *later(4, 4)),  # the table did not change
        trace(*made(2), *later(4, 2)),  # nothing beyond was asked for
        trace(*made(2), *later(4, 4, call(CREATE, f"{INSIDE} hwsize=4"))),  # the domain was made again
        trace(*made(2), call("msi_remove_device_irq_domain", INSIDE), *later(4, 4)),  # it was removed
        trace(*made(2), *later(4, 4), back(ENABLE, 4)),  # it got them all: what the domain is, is not known
    ],
)
def test_indices_that_a_domain_has_or_may_have_are_quiet(text: str) -> None:
    assert of("MSI-001", text) == []


def test_a_request_beyond_whose_result_is_not_recorded_is_not_said_to_be_none() -> None:
    (found,) = of("MSI-002", trace(*made(2), *later(4, 2)))
    assert found.summary.endswith("a request for 4 went beyond it (line 6), and its result is not recorded")


def test_the_last_insert_before_34_was_refused() -> None:
    inserts = [call(INSERT, f"{INSIDE} index={i}") for i in range(3)]
    text = trace(enable(1, 4)[0], *inserts, back(ENABLE, -34))
    assert told(text) == [("MSI-001", "probable", [1, 2, 4, 5])]
    assert of("MSI-001", text)[0].values["index"] == 2
    first = trace(enable(1, 4)[0], inserts[0], back(ENABLE, -34))  # the first index: there is no domain
    assert told(first) == []
    assert outcome(run(first), "MSI-001").outcome == "inconclusive"


# Inserts alone


def inserts(*results: tuple[int | None, int]) -> str:
    entries = ("" if i is None else call(INSERT, f"{INSIDE} index={i}") for i, _ in results)
    return trace(*(x for entry, (_, ret) in zip(entries, results, strict=True) for x in (entry, back(INSERT, ret)) if x))


def test_the_index_refused_after_the_one_below_is_the_size_of_the_domain() -> None:
    text = inserts((6, 0), (7, 0), (8, -34))
    assert told(text) == [("MSI-001", "probable", [3, 5])]
    (found,) = of("MSI-001", text)
    assert (found.values["old_size"], found.values["live"], found.values["index"]) == (8, 9, 8)


@pytest.mark.parametrize("results", [((5, 0), (8, -34)), ((8, -34),), ((None, 0), (None, -34))])
def test_a_refused_index_without_the_one_below_is_possible(results: tuple[tuple[int | None, int], ...]) -> None:
    assert [(c, g) for c, g, _ in told(inserts(*results))] == [("MSI-001", "possible")]


@pytest.mark.parametrize("results", [((0, -34), (0, -34)), ((None, -34),), ((7, 0), (8, 0)), ((7, 0), (8, -16))])
def test_a_first_index_refused_and_other_errors_are_quiet(results: tuple[tuple[int | None, int], ...]) -> None:
    assert told(inserts(*results)) == []


def test_another_task_and_another_device_do_not_tell_of_the_index_below() -> None:
    other = call(INSERT, f"{INSIDE} index=7").replace("0xff110001063000c8", "0xff110001077000c8")
    text = trace(other, back(INSERT, 0), call(INSERT, f"{INSIDE} index=8"), back(INSERT, -34))
    assert [(c, g) for c, g, _ in told(text)] == [("MSI-001", "possible")]
