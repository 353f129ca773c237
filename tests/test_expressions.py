"""What is there for speed alone changes no result: kept expressions and methods are those that Python compiles, whatever became of their file."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tracekit import speed
from tracekit.pipeline import Engine
from tracekit.plugins.isolation import Isolation

TEXTS = (r"(?P<driver>[^ :]+)(?:: (?P<told>.*))?$", r"a|b(?=c)", "é[\u2018-\u201d]", r"^(?:x{2,5}|(?P<n>[0-9]{1,18}))*\b")


def test_an_expression_that_was_kept_is_the_one_that_re_compiles(tmp_path: Path) -> None:
    rules = Engine.load(isolation=Isolation()).vocabulary
    texts = [*TEXTS, *(r.regex for r in (*rules.rules.values(), *rules.envelopes.values()))]
    first = speed._Expressions(tmp_path / "cache" / "expressions")
    assert [first.compiled(t) for t in texts] == [re.compile(t) for t in texts]
    first.write()
    then = speed._Expressions(first.path)
    assert [then.compiled(t) for t in texts] == [re.compile(t) for t in texts]  # equal: one text, the same flags, the same code
    assert not then.more
    found, wanted = then.compiled(TEXTS[0]).match("vfio-pci: reset"), re.match(TEXTS[0], "vfio-pci: reset")
    assert found and wanted and found.groupdict() == wanted.groupdict() == {"driver": "vfio-pci", "told": "reset"}


def test_an_expression_with_flags_is_kept_with_them(tmp_path: Path) -> None:
    kept = speed._Expressions(tmp_path / "expressions")
    for flags in (0, re.IGNORECASE.value, re.VERBOSE.value | re.DOTALL.value, 0):
        assert kept.compiled("a .", flags) == re.compile("a .", flags)
    assert len(kept.known) == 3


LOADED = """
import re
one, two, three = re.compile("a+"), re.compile("b +", re.VERBOSE), re.compile(rb"c")
def of_a_log(text): return re.compile(text)
assert (one.flags, two.flags) == (32, 96) and two.match("bb") and three.match(b"c")
"""


def test_only_what_a_module_compiles_while_it_is_loaded_is_kept(tmp_path: Path) -> None:
    (tmp_path / "loaded.py").write_text(LOADED)
    code = (
        "import sys; from tracekit import speed; speed.keep_compiled(); sys.path.insert(0, %r)\n"
        "import loaded; loaded.of_a_log('host7')\n"
        "print(*sorted(k for k in speed._expressions().known if k[-2:] in ('a+', ' +', 't7', ':c')))"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code % str(tmp_path)], capture_output=True, text=True, timeout=60, env=environment, check=True
        )
        assert done.stdout == "0:a+ 64:b +\n"


def test_what_is_damaged_is_compiled_again_and_written_anew(tmp_path: Path) -> None:
    kept = speed._Expressions(tmp_path / "expressions")
    kept.compiled(TEXTS[0])
    kept.write()
    whole = kept.path.read_bytes()
    for damaged in (b"", whole[:-1], whole[:16], whole[:40] + b"\xff" + whole[41:], b"\0" * len(whole)):
        kept.path.write_bytes(damaged)
        again = speed._Expressions(kept.path)
        assert again.compiled(TEXTS[0]) == re.compile(TEXTS[0])
        again.write()
        assert kept.path.read_bytes() == whole


def test_code_that_is_none_or_of_another_python_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = speed._Expressions(tmp_path / "expressions")
    for wrong in ((32, b"\1\0\0\0\2\0\0\0", 1, {}), (32, b"\1", 1, {}), (0,), None):
        kept.known[f"0:{TEXTS[1]}"] = wrong
        assert kept.compiled(TEXTS[1]) == re.compile(TEXTS[1])
    monkeypatch.setattr(speed, "_compiler", object())
    assert speed._Expressions(tmp_path / "none").compiled(TEXTS[2]) == re.compile(TEXTS[2])
    with pytest.raises(re.error):
        kept.compiled("(")


def test_a_file_that_grew_too_large_begins_anew_and_one_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = speed._Expressions(tmp_path / "expressions")
    for text in TEXTS:
        kept.compiled(text)
    kept.write()
    monkeypatch.setattr(speed, "_MOST", len(TEXTS))
    later = speed._Expressions(kept.path)
    later.compiled("another")
    later.write()
    assert set(speed._Expressions(kept.path).known) == {"0:another"}
    nowhere = speed._Expressions(Path("/dev/null/expressions"))
    nowhere.compiled("a")
    nowhere.write()


METHOD = "def __create_fn__(size):\n def double(self): return 2 * size\n return double"


def test_a_method_that_was_kept_does_what_its_text_says(tmp_path: Path) -> None:
    for compiles in (True, False):
        methods, found = speed._Methods(tmp_path / "classes"), dict[str, Any]()
        methods.run(METHOD, {}, found)
        assert found["__create_fn__"](21)(None) == 42
        assert methods.more is compiles
        methods.write()


def test_what_is_no_code_is_not_run(tmp_path: Path) -> None:
    methods, found = speed._Methods(tmp_path / "classes"), dict[str, Any]()
    methods.known[METHOD] = "found = 1"
    methods.run(METHOD, {}, found)
    assert list(found) == ["__create_fn__"]
    with pytest.raises(SyntaxError):
        methods.run("def (", {}, {})


def test_the_command_line_keeps_the_methods_of_its_classes(tmp_path: Path) -> None:
    code = (
        "import sys; from tracekit.cli import main as cli\ncli._called = lambda: __import__('tracekit.run') and print(%s) or 0\ncli.main()"
    )
    compiles = "sys.modules['dataclasses'].exec.__self__.more"
    for more in ("True", "False"):
        done = subprocess.run(
            [sys.executable, "-c", code % compiles],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        )
        assert done.stdout == f"{more}\n", done.stderr


def test_work_in_the_pool_of_polars_gives_its_result_or_its_error() -> None:
    threads: list[int] = []

    def work() -> str:
        threads.append(threading.get_ident())
        return str(pl.Series(["a"]).str.to_uppercase()[0])

    assert speed.in_pool(work) == "A"
    assert len(threads) == 1 and threads != [threading.get_ident()]
    with pytest.raises(KeyError, match="missing"):
        speed.in_pool(lambda: {}["missing"])
