"""The score of a replay, the timeline of a function, the state at a time."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tracekit.findings import Evidence, Finding
from tracekit.pipeline import Engine, Options, analyze
from tracekit.replay.score import score, state, timeline, unpredicted
from tracekit.testing import tables

OPENED = """\
 qemu-100     [001] .....    16.779983: k_open: (vfio_pci_core_enable+0x4/0x370 [vfio_pci_core]) vdev=0xff11000005067000
 qemu-100     [001] .....    16.795977: k_set: (vfio_pci_set_irqs_ioctl+0x4/0xd0 [vfio_pci_core]) vdev=0xff11000005067000 flags=0x21 index=2 start=0 count=0
 qemu-100     [001] .....    16.796977: r_set: (vfio_pci_core_ioctl+0x109/0xf60 [vfio_pci_core] <- vfio_pci_set_irqs_ioctl) ret=RET
"""


def test_models_of_predictions_alone_run_where_somebody_asks_for_them() -> None:
    def told(*keep: str) -> tuple[set[str], str]:
        with TemporaryDirectory() as folder:
            (log := Path(folder) / "trace.txt").write_text(OPENED.replace("RET", "-5"))
            made = analyze([str(log)], Options(keep_tables=keep))
        return {n for n in made.tables if made.tables[n].height}, repr((made.outcomes, [(f.code, f.grade) for f in made.findings]))

    assert told("divergences")[0] == {"divergences"}
    assert told("op_set_irqs", "divergences")[1] == told("op_set_irqs")[1] == told()[1]
    only = {m.__name__ for m in Engine.load(("predictions",)).models} - {m.__name__ for m in Engine.load().models}
    assert {"MsiReplay", "VfioReplay"} <= only


def test_an_operation_that_returns_what_the_model_says_is_predicted() -> None:
    result = score(tables(OPENED.replace("RET", "-22")), [])
    assert (result.operations, result.predicted, result.divergences, result.unexplained) == (1, 1, 0, 0)


def test_a_divergence_has_both_values_and_who_explains_it() -> None:
    made = tables(OPENED.replace("RET", "-5"))
    source = made["predictions"]["source"][0]
    (row,) = score(made, []).rows
    assert (row["line"], row["operation"], row["predicted"], row["observed"], row["explained_by"]) == (2, "set_irqs", "-22", "-5", None)
    finding = Finding("x", "proven", (Evidence(source, 2, "cause", 3),), code="VFIO-003")
    assert [r["explained_by"] for r in score(made, [finding]).rows] == ["VFIO-003"]


def test_what_was_not_predicted_is_counted_by_operation() -> None:
    later = OPENED.split("\n", 1)[1]
    made = tables(later.replace("RET", "0").replace(" flags=0x21 index=2 start=0 count=0", ""))
    (told,) = unpredicted(made)
    assert told == ("set_irqs", 1, made["predictions"]["source"][0], 1)
    assert unpredicted(tables(OPENED.replace("RET", "-22"))) == unpredicted({}) == []


def test_what_is_known_is_told_apart_from_what_a_healthy_system_does() -> None:
    later = OPENED.split("\n", 1)[1].replace("flags=0x21 index=2 start=0 count=0", "flags=0x24 index=0 start=0 count=1")
    known, guessed = score(tables(OPENED.replace("RET", "-22")), []), score(tables(later.replace("RET", "0")), [])
    assert (known.predicted, known.from_known, known.if_healthy) == (1, 1, 0)
    assert (guessed.predicted, guessed.from_known, guessed.if_healthy, guessed.divergences) == (1, 0, 1, 0)


def test_without_operations_the_score_is_empty() -> None:
    result = score(tables("[    1.000000] usb 1-1: new high-speed USB device\n"), [])
    assert (result.operations, result.divergences, result.rows) == (0, 0, ())


def test_the_timeline_has_what_concerns_one_pointer() -> None:
    made = tables(OPENED.replace("RET", "-22"))
    assert [(r["table"], r["line"]) for r in timeline(made, "vdev 0xff11000005067000")] == [("op_open", 1), ("op_set_irqs", 2)]
    assert timeline(made, "0000:00:09.0") == []


CALLS = """\
 qemu-100     [001] .....    1.000000: k_alloc: (pci_alloc_irq_vectors_affinity+0x4/0x100) dev=0xffff888001c91000 min=1 max=8
 qemu-100     [001] .....    1.200000: r_alloc: (vfio_msi_enable+0x99/0x240 <- pci_alloc_irq_vectors_affinity) ret=8
 qemu-100     [001] .....    2.000000: k_free: (pci_free_irq_vectors+0x4/0x40) dev=0xffff888001c91000
"""


def test_the_state_tells_the_vectors_in_place_and_no_result_of_a_call_that_runs() -> None:
    made = tables(CALLS)

    def at(ns: int) -> list[tuple[str, object, object]]:
        return [(r["table"], r["what"].get("count"), r["what"].get("ret")) for r in state(made, ns) if r["table"] != "devices"]

    assert at(1_100_000_000) == [("enables", None, None)]
    assert at(1_500_000_000) == [("vector_sets", 8, None)]
    assert at(2_500_000_000) == []


def test_the_state_holds_what_began_and_did_not_end() -> None:
    lives = tables(
        "[    1.000000] xen:events: creating evtchn using pirq 101 irq 290\n"
        "[    2.000000] xen:events: shutdown_pirq: closing evtchn for pirq 101 irq 290\n"
        "[    3.000000] xen:events: xen_destroy_irq: pirq 101 irq 290\n"
    )
    assert [r["what"]["pirq"] for r in state(lives, 1_500_000_000) if r["table"] == "pirq_lives"] == [101]
    assert [r for r in state(lives, 500_000_000) if r["table"] == "pirq_lives"] == []
