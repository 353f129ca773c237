"""The command schema: the page of a table, and the list of all of them."""

import re

import pytest
from typer.testing import CliRunner

from tracekit.cli.main import application


def schema(*arguments: str) -> str:
    result = CliRunner().invoke(application(), ["schema", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def parts(page: str, head: str) -> list[str]:
    """The lines below a head of a page."""
    return [line.strip() for line in page.partition(f"\n{head}:\n")[2].split("\ncolumns")[0].split("\nread by")[0].splitlines()]


def test_the_page_of_a_table_that_three_models_emit() -> None:
    page = schema("windows")
    assert page.startswith(
        "windows\n  A disable of an opened device's vectors and the enable that follows, placed where the disable stands.\n"
    )
    assert "\nkeys: source, line, bdf, device, vdev, basis\n" in page
    assert parts(page, "emitted by") == [
        "model Windows        tracekit_vfio/models/windows.py",
        "model VectorWindows  tracekit_vfio/models/vector_windows.py",
        "model QemuWindows    tracekit_vfio/models/vector_windows.py",
    ]
    readers = {re.split("  +", line)[0] for line in parts(page, "read by")}
    assert {"diagnosis VFIO-001 vfio.lost-on-resize", "system MsiVfio", "tracekit replay and state"} <= readers
    assert re.search(r"\n  span +Int64 ns +Time from the start of the disable to the end of the enable, and a step of their\s+stamps", page)
    assert re.search(r"\n  ts_end +Int64 ns +Time at which it ended", page)


def test_the_page_of_an_event_is_made_of_its_grammar() -> None:
    page = schema("vector_alloc")
    assert parts(page, "emitted by") == ["grammar  irq_vectors.lark"]
    assert "model Vectors" in page
    assert re.search(r"\n  irq +Int64 +Linux irq number\.\n", page)
    assert "found by" not in schema("kernel_version")


def test_every_table_of_predictions_has_all_its_emitters() -> None:
    emitters = {line.split()[1] for line in parts(schema("predictions"), "emitted by")}
    assert emitters == {"Vectors", "MessageResults", "MsiReplay", "VfioReplay", "PirqLives", "MessagePirqs"}
    assert parts(schema("gates"), "emitted by") == [
        "model Gates     tracekit_linux/gates/model.py",
        "model XenGates  tracekit_xen/models/facts.py",
    ]


def test_the_list_has_a_line_a_table_and_marks_those_that_nobody_reads() -> None:
    lines = schema().splitlines()
    by_name = {line[2:].split()[0]: line for line in lines if line[:2] in ("  ", "- ")}
    assert by_name["windows"].startswith("  windows ")
    assert by_name["vector_alloc"].endswith("A CPU vector is asked for (vector.c, assign_vector_locked).")
    unread = [name for name, line in by_name.items() if line.startswith("- ")]
    assert unread
    assert all("\nread by: nobody\n" in schema(name) for name in unread[:3])


@pytest.mark.parametrize("table", ["raw_event", "streams", "sources", "divergences"])
def test_tables_of_the_pipeline_have_pages(table: str) -> None:
    assert parts(schema(table), "emitted by") == ["the pipeline  tracekit/pipeline.py"]
