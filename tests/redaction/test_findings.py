"""A redacted log has the same findings: codes, grades, subjects, lines; hosts are tokens."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from recordings import GIVEN, inputs

from tracekit.pipeline import Engine, Options, analyze
from tracekit.redaction.redactor import Redactor
from tracekit.redaction.tokens import Tokens
from tracekit.run import Run
from tracekit.testing import samples

CASES = samples(Path(__file__).parent.parent.parent / "sample_traces")
TOKEN = re.compile(r"\b(?:host|vm|user|uuid)-[0-9a-f]{10}\b")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load()


def told(run: Run) -> tuple[list[Any], list[Any], list[Any]]:
    """The findings with their lines, the outcomes, and the accounts of the sources; without the names of machines and files."""
    findings = [
        (
            *(f.code, f.grade, f.severity, f.subject.bdf, f.explained_by, f.confirmed_by_replay, bool(f.machine), len(f.unchecked)),
            *(tuple((e.line, e.line_end, e.role) for e in f.evidence), _without_names(f.subject.label, run)),
        )
        for f in run.findings
    ]
    sources = [(s.lines, sorted(s.events.items()), sorted(s.classes.items()), s.clock.partition(" of ")[0]) for s in run.sources]
    return sorted(findings, key=str), sorted((o.code, o.outcome) for o in run.outcomes), sorted(sources, key=str)


def _without_names(text: str, run: Run) -> str:
    for machine in {f.machine for f in run.findings} - {""}:
        text = text.replace(machine, "M")
    return TOKEN.sub("M", text)


@pytest.mark.parametrize("case", CASES, ids=lambda p: f"{p.parent.name}/{p.name}")
@pytest.mark.no_cover
def test_a_sample_has_the_same_findings(case: Path, engine: Engine) -> None:
    paths = [str(p) for p in sorted(case.iterdir()) if p.name != "expected.toml"]
    assert told(analyze(paths, Options(redaction=Tokens()), engine)) == told(analyze(paths, None, engine))


@pytest.mark.skipif(not GIVEN.is_dir(), reason="no recordings")
@pytest.mark.parametrize("folder", sorted(p.name for p in GIVEN.glob("*") if p.is_dir()))
@pytest.mark.no_cover
def test_a_recording_has_the_same_findings(folder: str, engine: Engine) -> None:
    for name in inputs(folder):
        path = GIVEN / folder / name
        if path.is_file() and path.stat().st_size < 4 << 20 and path.suffix != ".dat":
            assert told(analyze([str(path)], Options(redaction=Tokens()), engine)) == told(analyze([str(path)], None, engine)), name


@pytest.mark.parametrize(
    "form",
    [
        "Nov 21 10:00:00 {host} kernel: {line}",
        "2026-11-21T10:00:00.123456+00:00 {host} kernel: {line}",
        "<4>1 2026-11-21T10:00:00Z {host} kernel - - - {line}",
        "[   12.000000] {host} kernel: {line}",
        '{{"_HOSTNAME":"{host}","__REALTIME_TIMESTAMP":"1795255200000000","_TRANSPORT":"kernel","MESSAGE":"{line}"}}',
    ],
)
@pytest.mark.parametrize("host", ["node17", "db1", "web.corp.example.com", "vmhost"])
def test_the_host_of_each_envelope_goes_and_stays_a_host(form: str, host: str, engine: Engine, tmp_path: Path) -> None:
    lines = (
        "vfio-pci 0000:3b:00.0: enabling device (0000 -> 0002)",
        "Linux version 6.1.0-18-amd64 (x) #1 SMP",
        "vfio-pci 0000:3b:00.0: vfio_ecap_init: hiding ecap 0x19@0x1d0",
    )
    log = tmp_path / "x.log"
    log.write_text("".join(form.format(host=host, line=line) + "\n" for line in lines * 4))
    options = Options(keep_tables=("pci_enabling_device",))
    plain = analyze([str(log)], options, Engine.load(options.keep_tables))
    secret = Options(keep_tables=options.keep_tables, redaction=Tokens())
    run = analyze([str(log)], secret, Engine.load(options.keep_tables))
    assert told(run) == told(plain)
    machines = set(run.tables["pci_enabling_device"]["machine"])
    assert [bool(re.match("host-[0-9a-f]{10}", m)) for m in machines] == [True]
    assert set(plain.tables["pci_enabling_device"]["machine"]) == {host}


def test_a_bundle_has_the_same_machines_by_tokens(engine: Engine, tmp_path: Path) -> None:
    for name, place in (("node17", "sosreport-node17-0391-2026-11-20-abc/var/log"), ("web1", "nodes/web1")):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        (folder / "dmesg").write_text("[    1.000000] Linux version 6.1.0\n[    2.000000] to node17\n", encoding="utf-8")
        assert name in place
    tokens = Tokens()
    run = analyze([str(tmp_path)], Options(redaction=tokens), engine)
    assert not re.search("node17|web1", " ".join(s.path for s in run.sources))
    assert {"node17", "web1"} <= set(tokens.values.values())


def test_a_log_is_redacted_alike_in_chunks_of_any_size(engine: Engine, tmp_path: Path) -> None:
    from tracekit.reading.source import discover

    log = tmp_path / "x.log"
    log.write_text("".join(f"Nov 21 10:00:{i % 60:02d} node17 kernel: server 10.17.2.{i % 250} on node18\n" for i in range(150)))
    log.write_text(log.read_text() + "Hostname set to <node18>.\n")
    (source,), _ = discover([str(log)])
    redactor: Redactor = engine.redactor([source], Tokens())
    whole = b"".join(redactor.data(c.data) for c in source.chunks())
    assert b"".join(redactor.data(c.data) for c in source.chunks(100)) == whole
    assert not re.search(rb"node1[78]|10\.17", whole)
    assert os.path.getsize(log) > 0


@pytest.mark.parametrize("names", [("cpu0", "cpu1"), ("xaa", "xab")])
def test_the_parts_of_a_recording_are_redacted_each_and_stay_in_their_order(engine: Engine, tmp_path: Path, names: tuple[str, str]) -> None:
    from tracekit.reading.source import discover
    from tracekit.redaction.sources import redacted

    lines = [f"  qemu-7  [{n % 2:03}] d..1.  5.00000{n}: net: to 10.17.2.{n}\n" for n in range(6)]
    whole = "".join(lines)
    torn = whole.index(".2.3")
    parts = ("".join(lines[::2]), "".join(lines[1::2])) if names[0] == "cpu0" else (whole[:torn], whole[torn:])
    for name, part in zip(names, parts, strict=True):
        (tmp_path / name).write_text(part)
    (source,), _ = discover([str(tmp_path)])
    text = b"".join(c.data for c in redacted(source, engine.redactor([source], Tokens())).chunks()).decode()
    assert re.findall(r"5\.00000(\d): net", text) == list("012345")
    assert not re.search(r"10\.17\.2\.\d", text)  # nor is a value that was torn whole again
