"""What `benchmarks/fuzz.py` found stays mended, and it finds what is put before it."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "benchmarks"))

import fuzz  # noqa: E402
import mutations  # noqa: E402

FOUND = sorted(p for p in (HERE / "fuzz").iterdir() if p.is_dir())


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> fuzz.Worker:
    return fuzz.Worker(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("case", FOUND, ids=lambda p: p.name)
def test_what_was_found_is_mended(case: Path, worker: fuzz.Worker) -> None:
    assert worker.alone(str(case), reported=True) == set()


def test_a_number_and_a_seed_tell_the_input() -> None:
    inputs = [mutations.made(1, n) for n in range(40)]
    assert inputs == [mutations.made(1, n) for n in range(40)]
    assert len({repr(i) for i in inputs}) == 40
    assert inputs != [mutations.made(2, n) for n in range(40)]


@pytest.mark.parametrize("mutation", dict.fromkeys(mutations.MUTATIONS), ids=lambda m: m.__name__)
def test_each_mutation_changes_a_log(mutation: mutations.Mutation) -> None:
    log = b"[    1.000000] vfio-pci 0000:3b:00.0: irq 24 count=8\n[    2.000000] nvme nvme0: I/O 3 QID 5 timeout, completion polled\n"
    assert any(mutation(mutations.Chance(n), log) != log for n in range(30))


def test_a_mistake_is_found_and_its_input_made_small(worker: fuzz.Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    analyze = fuzz.analyze_opened

    def mistaken(case: fuzz.Opened, *rest: object) -> object:
        run = analyze(case, *rest)  # type: ignore[arg-type]
        if any(b"irq 24" in Path(s.path).read_bytes() for s in case.sources):
            raise ZeroDivisionError
        return run

    monkeypatch.setattr(fuzz, "analyze_opened", mistaken)
    logs = {"a.log": b"[    1.000000] usb 1-1: x\n" * 20, "b.log": b"[    1.000000] a: irq 24 is b\n[    2.000000] usb 1-1: irq 25\n" * 3}
    found = list(worker.group([1, 2], [logs, {"a.log": logs["a.log"]}]))
    assert found == [(1, "exception ZeroDivisionError in ")]
    assert fuzz.smaller(worker, logs, found[0][1], reported=False) == {"b.log": b"irq 24"}
