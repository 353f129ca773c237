"""Cases that one worker is given at once: their logs are parsed together, and each is answered as if it had been alone."""

import gzip
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tracekit import pipeline
from tracekit.batch import cases, worker
from tracekit.batch.worker import Job, Ready, answer, together
from tracekit.pipeline import Engine

SAMPLES = Path(__file__).parents[2] / "sample_traces"
LOGS = [f for f in sorted(SAMPLES.rglob("*")) if f.suffix in (".log", ".txt") and f.is_file()]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load()


def jobs(*paths: Path) -> list[Job]:
    return [Job(str(p), p.stat().st_size, "") for p in paths]


def test_cases_parsed_together_are_answered_as_alone(engine: Engine) -> None:
    given = jobs(*LOGS[:40])
    ready = together(given, engine)
    assert [len(ready.opened[j.path].parsed) for j in given] == [1] * len(given)
    for job in given:
        shared, alone = answer(job, engine, ready), answer(job, engine, Ready())
        assert shared == replace(alone, seconds=shared.seconds)
        assert alone.status == "done"


def test_packed_and_broken_cases_are_opened_once_and_answered_as_alone(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = LOGS[0].read_bytes()
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(text))
    (tmp_path / "cut.log.gz").write_bytes(gzip.compress(text)[:-100])
    (tmp_path / "core").write_bytes(b"\x01\x02\x03\x7f" * 1000)
    (tmp_path / "empty.log").write_bytes(b"")
    (tmp_path / "plain.log").write_bytes(text)
    given = jobs(*sorted(tmp_path.iterdir()))
    alone = [answer(job, engine, Ready()) for job in given]
    ready = together(given, engine)
    monkeypatch.setattr(pipeline, "discover", None)
    shared = [answer(job, engine, ready) for job in given]
    assert [r.status for r in shared] == ["done", "failed", "done", "failed", "done"]
    assert shared == [replace(a, seconds=s.seconds) for a, s in zip(alone, shared, strict=True)]


def test_one_that_cannot_be_parsed_leaves_the_others_to_be_parsed_alone(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any) -> None:
        raise OSError("a bad sector")

    monkeypatch.setattr(pipeline, "parse_together", broken)
    given = jobs(*LOGS[:2])
    assert together(given, engine) == Ready()
    assert [answer(job, engine, Ready()).status for job in given] == ["done", "done"]


def test_a_log_that_grows_while_it_is_parsed_has_the_digest_of_before(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next batch finds it changed, so that nothing is missed."""
    files = [tmp_path / "a.log", tmp_path / "b.log"]
    for file in files:
        file.write_bytes(LOGS[0].read_bytes())
    before = cases.digest(str(files[0]))
    parse = pipeline.parse_together

    def growing(*given: Any) -> Sequence[Any]:
        found = parse(*given)
        with files[0].open("a") as log:
            log.write("[  900.000000] one more line\n")
        return found

    monkeypatch.setattr(pipeline, "parse_together", growing)
    given = jobs(*files)
    reply = answer(given[0], engine, together(given, engine))
    assert (reply.status, reply.digest) == ("done", before)
    assert cases.digest(str(files[0])) != before


def test_large_logs_and_those_that_may_be_unchanged_are_left_alone(engine: Engine) -> None:
    first, second, third = jobs(*LOGS[:3])
    assert together([first, replace(second, size=worker._SMALL + 1), replace(third, known="digest")], engine) == Ready()
