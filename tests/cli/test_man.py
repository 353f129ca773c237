"""Manual pages say what the commands say of themselves, and troff takes them."""

import shutil
import subprocess

import pytest
import typer

from tracekit.cli.main import application
from tracekit.cli.man import pages

PAGES = pages()


def test_every_command_has_a_page_with_every_option() -> None:
    root = typer.main.get_command(application())
    for word, command in root.commands.items():
        page = PAGES[f"tracekit-{word}.1"]
        for p in command.params:
            if p.param_type_name == "option" and not p.hidden:
                assert p.opts[0].replace("-", "\\-") in page, (word, p.opts)
    assert "tracekit-new-plugin.1" in PAGES
    assert ".B watch\n" in PAGES["tracekit.1"]


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff")
@pytest.mark.parametrize("name", sorted(PAGES))
def test_troff_takes_it(name: str) -> None:
    done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", "-Kutf8"], input=PAGES[name], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_troff_would_take_for_its_own_is_written_out() -> None:
    assert "$TRACEKIT_PLUGINS" in PAGES["tracekit-analyze.1"]
    assert not [line for page in PAGES.values() for line in page.splitlines() if line.startswith("'")]
