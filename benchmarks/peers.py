"""Other tools on the same input: what each costs. Those that are not installed are left out.

* `rg`: ripgrep counts the lines that hold one of the literals by which tracekit finds lines;
* `lnav`: opens the log without a screen and keeps the lines that a filter names;
* `insights-core`: its parser of dmesg (`DmesgLineList`) reads the log and looks for two texts;
* `drain3`: finds the templates of all messages;
* `words`: a loop in Python that counts words. What a machine costs in other units than this one is not compared.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LARGEST = 150_000_000  # bytes that a tool in Python is asked to read
SOUGHT = "vfio-pci|xen:events|irq_handler_entry"
WORDS = "import sys; print(sum(len(line.split()) for line in open(sys.argv[1], errors='replace')))"
INSIGHTS = """
import sys
from insights.core.context import Context
from insights.parsers.dmesg import DmesgLineList
log = DmesgLineList(Context(content=open(sys.argv[1], errors="replace").read().splitlines()))
print(len(log.get("vfio-pci")), len(log.get("xen:events")))
"""
DRAIN3 = """
import sys
from drain3 import TemplateMiner
from drain3.template_miner_config import TemplateMinerConfig
miner = TemplateMiner(config=TemplateMinerConfig())
for line in open(sys.argv[1], errors="replace"):
    miner.add_log_message(line.partition("] ")[2].rstrip())
print(len(miner.drain.clusters))
"""


@dataclass(frozen=True)
class Cost:
    """Hold what a process cost: seconds by the clock and of CPU, MiB at the peak."""

    seconds: float
    cpu: float
    peak: float


def cost(command: Sequence[str], repeats: int = 1) -> Cost:
    """Return what a command costs, its own processes included: the least CPU time of some runs. Errors: RuntimeError."""
    runs = []
    for _ in range(repeats):
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        if os.waitstatus_to_exitcode(status) not in (0, 1, 3):
            raise RuntimeError(f"{' '.join(command[:3])} ended with status {os.waitstatus_to_exitcode(status)}")
        runs.append(Cost(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))
    return min(runs, key=lambda c: c.cpu)


@dataclass(frozen=True)
class Peers:
    """Run the tools at hand. `python`: an interpreter that has insights-core and drain3; `literals`: the file of texts for `rg`."""

    literals: Path
    python: str = sys.executable
    names: tuple[str, ...] = field(init=False, default=("rg", "lnav", "insights-core", "drain3", "words"))

    def costs(self, kind: str, log: Path) -> Mapping[str, Cost]:
        """Return what each tool costs for a log."""
        return {name: cost(command) for name, command in self._commands(kind, log)}

    def _commands(self, kind: str, log: Path) -> Iterator[tuple[str, Sequence[str]]]:
        if shutil.which("rg"):
            yield "rg", ["rg", "-c", "-F", "-f", str(self.literals), str(log)]
        if log.stat().st_size > LARGEST:
            return
        if shutil.which("lnav"):
            yield "lnav", ["lnav", "-n", "-c", f":filter-in {SOUGHT}", str(log)]
        if kind == "dmesg" and self._has("insights"):
            yield "insights-core", [self.python, "-c", INSIGHTS, str(log)]
        if self._has("drain3"):
            yield "drain3", [self.python, "-c", DRAIN3, str(log)]
        yield "words", [self.python, "-c", WORDS, str(log)]

    def _has(self, module: str) -> bool:
        return subprocess.run([self.python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
