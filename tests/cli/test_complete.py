"""What the shell completes, as bash, zsh and fish ask for it."""

import subprocess
import sys
from pathlib import Path

import pytest
from commands import tracekit


def bash(line: str) -> list[str]:
    words = line.split(" ")
    return tracekit(_TRACEKIT_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)).stdout.split()


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("tracekit anal", {"analyze"}),
        ("tracekit explain msi-00", {"msi-001", "msi-002"}),
        ("tracekit explain KV", {"KV2", "KV6"}),
        ("tracekit analyze --select VFI", {"VFIO", "VFIO-001"}),
        ("tracekit analyze --ignore CFG,xen.pirq-l", {"CFG,xen.pirq-leak"}),
        ("tracekit analyze --set vfio.lost", {"vfio.lost-on-resize.timeout_s="}),
        ("tracekit analyze --severity MSI-001=l", {"MSI-001=low"}),
        ("tracekit analyze -f mark", {"markdown"}),
        ("tracekit schema win", {"windows"}),
        ("tracekit record stale", {"stale-hwsize"}),
    ],
)
def test_bash_gets_the_names_that_fit(line: str, some: set[str]) -> None:
    told = bash(line)
    assert some <= set(told)
    last = line.rsplit(" ", 1)[-1].lower()
    assert [t for t in told if not t.lower().startswith(last)] == []


def test_nothing_fits_what_does_not_exist() -> None:
    assert bash("tracekit explain ZZZ") == []


def test_zsh_and_fish_get_what_a_name_is_too() -> None:
    asked = {"_TYPER_COMPLETE_ARGS": "tracekit explain MSI-001"}
    assert '"MSI-001":"msi.stale-hwsize"' in tracekit(_TRACEKIT_COMPLETE="complete_zsh", **asked).stdout
    told = tracekit(_TRACEKIT_COMPLETE="complete_fish", _TYPER_COMPLETE_FISH_ACTION="get-args", **asked).stdout
    assert told == "MSI-001\tmsi.stale-hwsize\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(shell: str) -> None:
    done = tracekit(_TRACEKIT_COMPLETE=f"source_{shell}")
    assert "_TRACEKIT_COMPLETE=complete_" + shell in done.stdout


def test_bash_completes_with_the_script() -> None:
    script = tracekit(_TRACEKIT_COMPLETE="source_bash").stdout
    command = Path(sys.executable).with_name("tracekit")
    ask = f'{script}\nCOMP_WORDS=(tracekit schema windo); COMP_CWORD=2; _tracekit_completion {command}; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout == "windows\n"


def test_the_short_option_prints_the_version_too() -> None:
    assert tracekit("-V").stdout == tracekit("--version").stdout
