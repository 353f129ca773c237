"""What `tracekit record` prints: shell that parses, probes that tracekit itself understands, and every diagnosis fed by one of them."""

import re
import shutil
import subprocess

import pytest

from tracekit.cli import record as cli_record
from tracekit.diagnosing.recipes import RECIPES, family_of, named, script
from tracekit.errors import UsageError
from tracekit.findings import Outcome
from tracekit.grammar import load as grammar
from tracekit.plugins import registry as plugins
from tracekit.testing import tables

CODES = {d.code for d in plugins.load().diagnoses}
DEFINITION = re.compile(r"^echo '([pr]:tk/.+)' >> \$T/kprobe_events$", re.MULTILINE)
NOT_CALLS = {"pci_create_ims_domain"}  # a diagnosis reads its probe itself
DEFINITIONS = sorted({(family, d) for family, r in RECIPES.items() for d in DEFINITION.findall(script(r))})


def test_every_built_in_diagnosis_is_fed_and_no_other() -> None:
    assert {c for r in RECIPES.values() for c in r.feeds} == CODES


@pytest.mark.parametrize("family", RECIPES)
def test_each_step_says_what_it_is_for(family: str) -> None:
    recipe = RECIPES[family]
    assert len(set(recipe.feeds)) == len(recipe.feeds)
    told = set(re.findall(r"[A-Z]+-[0-9]{3}", recipe.commands))
    assert told <= set(recipe.feeds)
    assert not re.search(r"^(?:p|r) ", recipe.commands, re.MULTILINE)


@pytest.mark.skipif(shutil.which("sh") is None, reason="no shell")
@pytest.mark.parametrize("family", RECIPES)
def test_a_shell_parses_it(family: str) -> None:
    done = subprocess.run(["sh", "-n"], input=script(RECIPES[family]), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_events_it_switches_on_are_ones_that_tracekit_reads() -> None:
    text = "\n".join(script(r) for r in RECIPES.values())
    events = (
        re.findall(r"-e \w+:(\w+)", text) + re.findall(r"irq_vectors/(\w+)", text) + ["irq_handler_entry", "qi_submit", "msix_write_config"]
    )
    unread = set(events) - set(grammar.load().events)
    assert unread <= {"kvm_pi_irte_update", "kvm_apic_accept_irq", "kvm_eoi", "vector_deactivate", "vector_teardown", "vector_setup"}


@pytest.mark.parametrize(("family", "definition"), DEFINITIONS)
def test_a_probe_is_understood_by_its_definition(family: str, definition: str) -> None:
    read = tables(definition + "\n")["kprobe_definition"]
    assert read.height == 1
    function = str(read["function"][0])
    name = definition.split()[0].partition("/")[2]
    args = re.findall(r"(\w+)=", definition)
    values = " ".join(f"{a}=0x{n + 1:x}" if a == "dev" else f"{a}={n + 1}" for n, a in enumerate(args))
    place = f"({function}+0x0/0x10)" if definition.startswith("p") else f"(caller+0x1/0x10 <- {function})"
    line = f"            task-1       [000] .....     1.000000: {name}: {place} {values}\n"
    heard = tables(line, definition + "\n")
    if function in NOT_CALLS:
        assert heard["probe_return"]["function"].to_list() == [function]
        return
    calls = heard["calls"]
    assert calls["function"].to_list() == [function]
    if definition.startswith("r"):
        assert calls["ret"].to_list() == [1]
    else:
        assert [a["name"] for a in calls["args"][0]] == args


PRINTF = re.compile(r'^(\S+) \{ printf\("(.*)\\n", (.*)\); \}$', re.MULTILINE)


def bpftrace(probe: str, *values: object, task: tuple[str, int, int] = ("qemu-system-x86", 4711, 3), at: int = 1_234_005_678) -> str:
    """The line that a probe of the recipe prints."""
    text = next(text for name, text, _ in PRINTF.findall(RECIPES["bpftrace"].commands) if name == probe)
    return text.replace("ll", "") % (*task, at // 10**9, at % 10**9 // 1000, *values) + "\n"


def test_what_bpftrace_prints_is_read_like_ftrace_text() -> None:
    asked, ended = "kprobe:vfio_pci_set_irqs_ioctl", "kretprobe:vfio_pci_set_irqs_ioctl"
    handled = bpftrace("tracepoint:irq:irq_handler_entry", 29, "vfio-msix[0](0000:00:08.0)", task=("swapper/1", 0, 1))
    text = "".join(
        bpftrace(asked, 0xFF11000004E80800, flags, 2, 0, count) + bpftrace(ended, 0) + handled
        for flags, count in ((0x24, 1), (0x21, 0), (0x24, 3))
    )
    found = tables(text)
    assert found["op_set_irqs"].select("vdev", "flags", "index", "start", "count", "ret", "bdf", "ts", "hint").rows() == [
        (0xFF11000004E80800, flags, 2, 0, count, 0, "0000:00:08.0", 1_234_005_000, False)
        for flags, count in ((0x24, 1), (0x21, 0), (0x24, 3))
    ]
    assert found["irq_handler_entry"].select("irq", "name", "tid", "on_cpu").unique().rows() == [(29, "vfio-msix[0](0000:00:08.0)", 0, 1)]
    for probe, text, values in PRINTF.findall(RECIPES["bpftrace"].commands):
        assert text.count("%") == values.count(",") + 1, probe


def test_an_outcome_names_its_family_where_something_could_be_recorded() -> None:
    outcome = Outcome("vfio.resize-window", "VFIO-002", "not evaluated", "no window", "probes")
    assert named(outcome).record == "probes (tracekit record resize)"
    assert named(Outcome("x.y", "X-001", "not evaluated", "no lines", "dmesg")).record == "dmesg"
    assert named(Outcome("vfio.resize-window", "VFIO-002", "clear")).record == ""
    assert family_of("XEN-001") == "pirq"


def test_the_command_lists_the_families_and_prints_one(capsys: pytest.CaptureFixture[str]) -> None:
    cli_record.record(None)
    listed = capsys.readouterr().out.splitlines()
    assert (
        listed[::3]
        == list(RECIPES)
        == [
            "stale-hwsize",
            "resize",
            "pirq",
            "vectors",
            "remapping",
            "delivery",
            "xen-hypervisor",
            "qemu",
            "perf-trace",
            "hwsize",
            "bpftrace",
        ]
    )
    for family in RECIPES:
        cli_record.record(family)
        text = capsys.readouterr().out
        assert text.startswith(f"# {RECIPES[family].asks}\n")
        assert text.endswith("tracekit analyze .\n")
    with pytest.raises(UsageError, match="^no family is called nonsense; there are stale-hwsize, resize, "):
        cli_record.record("nonsense")
