"""A user without a home, as in a container, only does without a cache."""

from pathlib import Path

import pytest

from tracekit import home
from tracekit.grammar import cache
from tracekit.grammar.rules import Grammars


def test_the_cache_is_where_the_user_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert home.cache() == tmp_path / "tracekit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "me")
    assert home.cache() == tmp_path / "me/.cache/tracekit"


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    cache.keep(Grammars(digest="none"))
    assert cache.cached_rules("none") is None
    assert not home.cache().exists()
