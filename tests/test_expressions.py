"""What is there for speed alone changes no result: kept expressions are those that `re` compiles, whatever became of their file."""

import re
from pathlib import Path

import pytest

from tracekit import speed
from tracekit.pipeline import Engine
from tracekit.plugins.isolation import Isolation

TEXTS = (r"(?P<driver>[^ :]+)(?:: (?P<told>.*))?$", r"a|b(?=c)", "é[\u2018-\u201d]", r"^(?:x{2,5}|(?P<n>[0-9]{1,18}))*\b")


def test_an_expression_that_was_kept_is_the_one_that_re_compiles(tmp_path: Path) -> None:
    rules = Engine.load(isolation=Isolation()).vocabulary
    texts = [*TEXTS, *(r.regex for r in (*rules.rules.values(), *rules.envelopes.values()))]
    first = speed._Kept(tmp_path / "cache" / "expressions")
    assert [first.compiled(t) for t in texts] == [re.compile(t) for t in texts]
    first.write()
    then = speed._Kept(first.path)
    assert [then.compiled(t) for t in texts] == [re.compile(t) for t in texts]  # equal: one text, the same flags, the same code
    assert not then.more
    found, wanted = then.compiled(TEXTS[0]).match("vfio-pci: reset"), re.match(TEXTS[0], "vfio-pci: reset")
    assert found and wanted and found.groupdict() == wanted.groupdict() == {"driver": "vfio-pci", "told": "reset"}


def test_what_is_damaged_is_compiled_again_and_written_anew(tmp_path: Path) -> None:
    kept = speed._Kept(tmp_path / "expressions")
    kept.compiled(TEXTS[0])
    kept.write()
    whole = kept.path.read_bytes()
    for damaged in (b"", whole[:-1], whole[:16], whole[:40] + b"\xff" + whole[41:], b"\0" * len(whole)):
        kept.path.write_bytes(damaged)
        again = speed._Kept(kept.path)
        assert again.compiled(TEXTS[0]) == re.compile(TEXTS[0])
        again.write()
        assert kept.path.read_bytes() == whole


def test_code_that_is_none_or_of_another_python_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = speed._Kept(tmp_path / "expressions")
    for wrong in ((32, b"\1\0\0\0\2\0\0\0", 1, {}), (32, b"\1", 1, {}), (0,), None):
        kept.known[TEXTS[1]] = wrong  # type: ignore[assignment]
        assert kept.compiled(TEXTS[1]) == re.compile(TEXTS[1])
    monkeypatch.setattr(speed, "_compiler", object())
    assert speed._Kept(tmp_path / "none").compiled(TEXTS[2]) == re.compile(TEXTS[2])
    with pytest.raises(re.error):
        kept.compiled("(")


def test_a_file_that_grew_too_large_begins_anew_and_one_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = speed._Kept(tmp_path / "expressions")
    for text in TEXTS:
        kept.compiled(text)
    kept.write()
    monkeypatch.setattr(speed, "_MOST", len(TEXTS))
    later = speed._Kept(kept.path)
    later.compiled("another")
    later.write()
    assert set(speed._Kept(kept.path).known) == {"another"}
    nowhere = speed._Kept(Path("/dev/null/expressions"))
    nowhere.compiled("a")
    nowhere.write()
