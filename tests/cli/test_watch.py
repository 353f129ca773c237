"""A log is followed: what becomes true is said once, what becomes surer again, what later lines refute is withdrawn."""

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from commands import tracekit

from tracekit.cli.watch import followed
from tracekit.cli.watched import HEAD, Line, Watch
from tracekit.pipeline import analyze
from tracekit.reading.follow import Follower
from tracekit.testing import engine

SAMPLES = Path(__file__).parents[2] / "sample_traces"
TRACE = SAMPLES / "msi.stale-hwsize" / "fires-kprobe-8-16-6.12" / "trace.txt"
NOISE = b"[   90.000000] usb 1-1: new high-speed USB device number 5 using xhci_hcd"
BLOCKED = (
    "[  10{n}.000000] DMAR: DRHD: handling fault status reg 2\n[  10{n}.000001] DMAR: [INTR-REMAP] Request device [0{n}:00.0] "
    "fault index 0x3000 [fault reason 0x22] Present field in the IRTE entry is clear\n"
)


def watch(tmp_path: Path, **more: int) -> Watch:
    return Watch("log", engine(), tmp_path, **more)


def numbered(texts: Sequence[bytes], first: int = 1) -> list[Line]:
    return [Line(0, n, text) for n, text in enumerate(texts, first)]


@pytest.mark.parametrize("name", ["msi.stale-hwsize", "vfio.lost-on-resize", "xen.pirq-starved", "irq.remap-blocked", "vec.irte-exhausted"])
def test_what_is_true_in_the_end_is_what_an_analysis_finds(name: str, tmp_path: Path) -> None:
    for case in sorted((SAMPLES / name).glob("fires-*")):
        logs = [f for f in case.iterdir() if f.name != "expected.toml"]
        if len(logs) > 1:
            continue
        texts = logs[0].read_bytes().removesuffix(b"\n").split(b"\n")
        w, step = watch(tmp_path), max(1, len(texts) // 4)
        for at in range(0, len(texts), step):
            w.add(numbered(texts[at : at + step], at + 1))
            w.look()
        run = analyze([str(logs[0])], None, engine())
        assert sorted((f.code, f.grade, f.subject.label) for f in w.findings) == sorted(
            (f.code, f.grade, f.subject.label) for f in run.findings if f.grade
        ), case


def test_a_finding_is_said_once_and_a_second_one_on_other_lines_too(tmp_path: Path) -> None:
    w = watch(tmp_path)
    one, other = BLOCKED.format(n=1).encode().splitlines(), BLOCKED.format(n=2).encode().splitlines()
    w.add(numbered(one))
    assert [(n.kind, n.finding.code) for n in w.look()] == [("new", "IRQ-003")]
    w.add(numbered([NOISE], 3))
    assert w.look() == []
    w.add(numbered(other, 4))
    news = w.look()
    assert [(n.kind, n.finding.code, [e.line for e in n.finding.evidence]) for n in news] == [("new", "IRQ-003", [4, 5])]


def test_a_grade_that_rises_is_said_and_what_lines_refute_is_withdrawn(tmp_path: Path) -> None:
    log = SAMPLES / "xen.pirq-starved" / "fires-hypervisor-inventory-4.17"
    texts = next(f for f in log.iterdir() if f.name != "expected.toml").read_bytes().splitlines()
    w, kinds = watch(tmp_path), []
    for at in range(0, len(texts), 4):
        w.add(numbered(texts[at : at + 4], at + 1))
        kinds += [(news.kind, news.finding.code, news.finding.grade) for news in w.look()]
    assert next(k for k in kinds if k[1] == "XEN-002") == ("new", "XEN-002", "probable")
    assert ("surer", "XEN-002", "proven") in kinds
    assert ("withdrawn", "XEN-002", "probable") in kinds


def test_lines_that_no_rule_takes_are_not_kept_and_those_that_are_have_a_bound(tmp_path: Path) -> None:
    w = watch(tmp_path, most=HEAD + 50)
    w.add(numbered([NOISE] * HEAD))
    w.look()
    for round_ in range(20):
        w.add(numbered([NOISE] * 1000, HEAD + 1 + round_ * 1000))
        assert not w.due
    w.add(numbered([NOISE] * 1000, 40_000))
    assert w.due
    w.look()
    assert len(w.kept) == HEAD
    for n in range(1, 8):
        w.add(numbered(BLOCKED.format(n=n).encode().splitlines() * 20, 50_000 + 100 * n))
        assert "withdrawn" not in [news.kind for news in w.look()]
    assert len(w.kept) == HEAD + 50
    assert w.dropped > 0


def test_lines_that_never_pause_are_looked_at_before_they_are_too_many(tmp_path: Path) -> None:
    class Flood(Follower):
        """Lines without end, all within one moment: a hundred at once, of which some matter."""

        def __init__(self) -> None:
            self.path, self.ended, self.restarts, self.number = "log", False, 0, 0

        def lines(self, wait: float) -> list[tuple[int, bytes]]:
            first = self.number + 1
            self.number += 100
            self.ended = self.number == 20_000
            return list(enumerate([*BLOCKED.format(n=1).encode().splitlines(), *[NOISE] * 98], first))

    w, held = watch(tmp_path, most=1000), []
    for _ in followed(Flood(), w, 1.0, clock=lambda: 0.0):
        held.append(len(w.pending) + len(w.kept))
    assert max(held) <= 2 * w.most
    assert [f.code for f in w.findings] == ["IRQ-003"]


def test_evidence_has_the_lines_of_the_log_also_before_a_rotation(tmp_path: Path) -> None:
    w = watch(tmp_path)
    w.add(numbered([NOISE] * 500))
    w.look()
    first, second = BLOCKED.format(n=3).encode().splitlines()
    w.add(numbered([first], 501))
    w.add([Line(1, 1, second)])
    (news,) = w.look()
    assert [(e.source, e.line) for e in news.finding.evidence] == [("log (1 rotation ago)", 501), ("log", 1)]
    w.add([Line(2, 1, NOISE)])
    w.look()
    assert w.findings == [news.finding]


def test_a_file_that_grows_and_is_rotated_is_followed(tmp_path: Path) -> None:
    log = tmp_path / "kern.log"
    log.write_text(BLOCKED.format(n=1))
    (tmp_path / "w").mkdir()
    steps = iter(
        [
            lambda: None,
            lambda: (log.rename(tmp_path / "kern.log.1"), log.write_text(BLOCKED.format(n=2))),
            lambda: None,
            lambda: log.write_text("[  300.000000] usb 1-1: new device\n"),
        ]
    )

    def step(_: float) -> None:
        next(steps, lambda: setattr(follower, "ended", True))()

    follower = Follower(str(log), sleep=step)
    news = [n for n in followed(follower, watch(tmp_path / "w"), 0.01) if n]
    assert [(n.kind, n.finding.subject.label, n.finding.evidence[0].line) for n in news] == [
        ("new", "0000:01:00.0", 1),
        ("new", "0000:02:00.0", 1),
    ]


def test_the_command_follows_standard_input_and_says_what_it_found() -> None:
    done = tracekit("watch", "-", given=TRACE.read_bytes())
    assert done.returncode == 1
    assert "new: proven MSI-001 msi.stale-hwsize, 0000:00:08.0" in done.stdout
    done = tracekit("watch", "-", "-f", "json", "--ignore", "MSI", "--fail-on", "never", given=TRACE.read_bytes())
    assert done.returncode == 0
    assert all(json.loads(line)["event"] in ("new", "surer", "withdrawn") for line in done.stdout.splitlines())
    assert "MSI-001" not in done.stdout


def test_a_pipe_is_followed_while_it_is_open(tmp_path: Path) -> None:
    end, begin = os.pipe()
    heard = threading.Event()

    def write() -> None:
        os.write(begin, BLOCKED.format(n=1).encode())
        heard.wait(20)
        os.close(begin)

    writer = threading.Thread(target=write)
    writer.start()
    told = []
    with os.fdopen(end, "rb") as reader:
        for news in followed(Follower("-", reader), watch(tmp_path), 0.05):
            if news:
                told.append(news.kind)
                heard.set()
    writer.join()
    assert told == ["new"]


def test_what_cannot_be_followed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(b"\x1f\x8b\x08\x00" + bytes(range(256)) + b"\n")
    done = tracekit("watch", tmp_path / "x.gz")
    assert (done.returncode, "is no text that could be followed" in done.stderr) == (2, True)
