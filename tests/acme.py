"""A plugin of somebody else, as text: tests add what they try, and install it by `packages.single`."""

GRAMMAR = """\
%import .common (BDF, DEC)
start: acme_stuck
// Tests.
acme_stuck: "acme " bdf ": ring " ring " made no progress"
bdf: BDF
ring: DEC
"""
START = """\
import ctypes, os, sys, time
from pathlib import Path
import polars as pl
from tracekit import HOST, Column, Evidence, Finding, Fix, Gate, Model, Since, System, Table, Verdict, clear, diagnosis, hookimpl

@hookimpl
def tracekit_grammars():
    return [Path(__file__).parent / "acme_grammars"]
"""
STUCK = """
@diagnosis("acme.stuck", code="ACME-001", severity="high", record="dmesg")
def stuck(acme_stuck):
    "Rings that are stuck."
    for e in acme_stuck.iter_rows(named=True):
        yield Finding(f"ring {e['ring']} is stuck", "proven", (Evidence(e["source"], e["line"], "cause"),))
"""
NAMED = "plugin acme 1.2 "  # how an error of it begins
