"""Tables that models of several families emit; their declarations stand here, once."""

import polars as pl

from tracekit.tables.declaration import Column, Table

PREDICTIONS = Table(
    "predictions",
    "An observed operation with a result, beside what the model predicted from the state before it.",
    (
        Column("operation", pl.String(), "What was done: the call, the event, or the request that a message tells of."),
        Column("subject", pl.String(), "Whom it was done to: a function, an irq, a domain."),
        Column("rule", pl.String(), "The rule of the model that predicts."),
        Column("predicted", pl.String(), "What a healthy system may return; null where nothing says so."),
        Column("observed", pl.String(), "What was returned."),
        Column(
            "basis",
            pl.String(),
            "known: from state that the recording shows; healthy: what a system without a fault returns where that state is not shown.",
        ),
        Column("agrees", pl.Boolean(), "Whether the result is one of those predicted; null where nothing was predicted."),
        Column("explained_by", pl.String(), "Code of the fault whose state predicts the result that was observed instead."),
    ),
    keys=("source", "line", "operation", "subject", "rule"),
)

GATES_TABLE = Table(
    "gates",
    "What a line tells about a version gate: whether the kernel, QEMU or Xen has a change that decides how interrupts behave.",
    (
        Column("gate", pl.String(), "Code of the gate: KV1, QV1, ..."),
        Column("value", pl.Boolean(), "Whether the change is in."),
        Column("basis", pl.String(), "observed: by what the system did; assumed: by its release."),
        Column("why", pl.String(), "What was observed, or which release is taken for it."),
    ),
    keys=("source", "line", "gate"),
)

VM_DEVICES = Table(
    "vm_devices",
    "A function of the host that a guest has, as its VM manager's command line states it: relates a guest's place to its host's.",
    (Column("vm", pl.String(), "The guest, as the command line names it."), Column("bdf", pl.String())),
    keys=("source", "line", "bdf"),
)
