"""Lines of a call graph or function trace that no reader is about are counted and no more: accounts, tables of models and reports stay what they are."""

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tracekit import Model
from tracekit.findings import Finding
from tracekit.parsing import idle
from tracekit.parsing.parse import Parsed, parse
from tracekit.pipeline import Engine, Options, analyze
from tracekit.plugins.plugin import Plugin
from tracekit.plugins.registry import Registry
from tracekit.reading.source import discover

SAMPLES = Path(__file__).parents[2] / "sample_traces"
GRAPHS = sorted(p for p in SAMPLES.rglob("*.txt") if "fgraph" in str(p))
FUNCTIONS = sorted(p for p in SAMPLES.rglob("*.txt") if "function-tracer" in str(p))
IDLE = [*((path, "graph_leaf") for path in GRAPHS), *((path, "function_call") for path in FUNCTIONS)]
NAMES = [path.parent.name for path, _ in IDLE]
HEADS = {
    "plain": " 0)               |",
    "task": " 0)  qemu-kvm-777  |               |",
    "absolute": "  251.743876 |   0)     sh-149     |               |",
}
LINES = (
    "  __pci_enable_msix_range() {",
    "    kfree();",
    "    msi_lock_descs() {",
    "      mutex_lock();",
    "    } /* msi_lock_descs */",
    "    kfree.part.0 [nvme](ptr=0x1) ;",
    "    x86_vector_msi_compose_msg();",
    "    msi_insert_desc.isra.0(); /* = -34 */",
    "    kfree() /* no call */",
    "    kfree(); /* <-msi_insert_desc ret=0x0 */",
    "    irq_get_irq_data [kvm](irq=24);",
    "  } /* __pci_enable_msix_range = -34 */",
)
LEAVES = {"kfree();", "mutex_lock();", "irq_get_irq_data [kvm](irq=24);"}


@pytest.fixture(autouse=True)
def at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "SMALL_SOURCE", 0)
    monkeypatch.setattr(idle, "_WORTH", 0.0)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load()


def with_words(engine: Engine, **changes: object) -> Engine:
    """Return an engine with a vocabulary of which something is changed."""
    vocabulary = copy(engine.vocabulary)
    vars(vocabulary).pop("idle", None)
    vars(vocabulary).update(changes)
    return replace(engine, vocabulary=vocabulary)


def whole(engine: Engine) -> Engine:
    """Return an engine that leaves no row out."""
    return with_words(engine, looked_for={})


def graph(folder: Path, head: str) -> Path:
    """Write a graph of these lines, ten times."""
    timed = {line: head.replace("               |", "   0.123 us    |") if line.endswith((";", "*/", "}")) else head for line in LINES}
    path = folder / "graph.txt"
    path.write_text("# tracer: function_graph\n" + "".join(f"{timed[line]}{line}\n" for line in LINES) * 10)
    return path


def read(path: Path, engine: Engine) -> Parsed:
    return parse(discover([str(path)])[0][0], engine.vocabulary)


def account(parsed: Parsed) -> tuple[object, ...]:
    return (
        parsed.lines,
        dict(parsed.classes),
        dict(parsed.events),
        dict(parsed.envelopes),
        parsed.not_understood,
        parsed.notes,
        parsed.clock,
    )


@pytest.mark.parametrize("head", HEADS)
def test_idle_lines_are_counted_as_if_they_were_read(tmp_path: Path, engine: Engine, head: str) -> None:
    path = graph(tmp_path, HEADS[head])
    mine, all_of_it = read(path, engine), read(path, whole(engine))
    assert account(mine) == account(all_of_it)
    assert mine.classes["event"] > 80
    texts = path.read_text().splitlines()
    kept, read_before = (t.tables.pop("graph_leaf")["line"].to_list() for t in (mine, all_of_it))
    left_out = [texts[line - 1].rpartition("|")[2].strip() for line in read_before if line not in kept]
    assert set(left_out) == LEAVES
    assert len(left_out) == 10 * len(LEAVES) - 1, "one stays"
    assert {n: t.write_ndjson() for n, t in mine.tables.items()} == {n: t.write_ndjson() for n, t in all_of_it.tables.items()}


@pytest.mark.parametrize(("path", "table"), IDLE, ids=NAMES)
def test_models_and_findings_are_those_of_the_whole(path: Path, table: str, engine: Engine) -> None:
    options = Options(keep_tables=tuple(sorted({t for m in engine.models for t in m.emits()})))
    mine, all_of_it = (analyze([str(path)], options, e) for e in (engine, whole(engine)))
    assert read(path, engine).tables[table].height < read(path, whole(engine)).tables[table].height

    def told(findings: tuple[Finding, ...]) -> list[object]:
        return [(f.code, f.grade, f.subject, f.evidence) for f in findings]

    assert told(mine.findings) == told(all_of_it.findings)
    assert mine.outcomes == all_of_it.outcomes
    assert {n: t.write_ndjson() for n, t in mine.tables.items()} == {n: t.write_ndjson() for n, t in all_of_it.tables.items()}


@pytest.mark.parametrize(("path", "table"), IDLE, ids=NAMES)
def test_no_other_rule_reads_a_line_that_may_be_left_out(path: Path, table: str, engine: Engine) -> None:
    assert sorted(rule.name for rule, _ in engine.vocabulary.idle) == ["function_call", "function_event", "graph_leaf"]
    lines = {name: set(own["line"]) for name, own in read(path, Engine.load(["*"])).tables.items()}
    assert [n for n, own in lines.items() if n != table and own & lines[table]] == []


def test_a_table_that_is_asked_for_is_whole(tmp_path: Path, engine: Engine) -> None:
    path = graph(tmp_path, HEADS["plain"])
    leaves = path.read_text().count(");")
    for tables in (("graph_leaf",), ("*",)):
        asked = analyze([str(path)], Options(keep_tables=tables))
        assert asked.tables["graph_leaf"].height == leaves


class Own(Model):
    """A model that looks for a function of its own."""

    looks_for: ClassVar[dict[str, tuple[str, ...]]] = {"graph_leaf": ("kfree",)}

    def on_graph_leaf(self, row: Any) -> None:
        """Take a call."""


class Every(Model):
    """A model that does not say what it looks for."""

    needs = ("graph_leaf",)


def test_a_row_that_any_reader_is_about_stays(tmp_path: Path, engine: Engine) -> None:
    def with_model(model: type[Model]) -> dict[str, set[str]]:
        return Registry([*engine.registry.plugins, Plugin("acme", "1", models=[model])]).looked_for(frozenset())

    assert "kfree" not in engine.registry.looked_for(frozenset())["graph_leaf"]
    assert set(engine.registry.looked_for({"graph_leaf"})) == {"function_call", "function_event"}
    assert with_model(Own)["graph_leaf"] == {"kfree", *engine.registry.looked_for(frozenset())["graph_leaf"]}
    assert "graph_leaf" not in with_model(Every)
    path = graph(tmp_path, HEADS["plain"])
    functions = read(path, with_words(engine, looked_for=with_model(Own))).tables["graph_leaf"]["function"].to_list()
    assert (functions.count("kfree"), functions.count("mutex_lock")) == (20, 1)


@pytest.mark.parametrize(("literals", "idle_rules"), [(("kfree",), 3), ((), 0)])
def test_a_rule_of_others_may_read_a_leaf_too(engine: Engine, literals: tuple[str, ...], idle_rules: int) -> None:
    rules = engine.vocabulary.rules
    other = replace(rules["graph_exit"], name="acme", foreign=True, literals=literals)
    vocabulary = with_words(engine, rules={**rules, "acme": other}).vocabulary
    assert len(vocabulary.idle) == idle_rules
    assert all("kfree" in texts for _, texts in vocabulary.idle)
