"""Vectors, interrupt remapping and delivery: what the host does with an interrupt between the device and its handler."""

from typing import Any

from tracekit import hookimpl
from tracekit_irq.diagnoses.affinity_broken import affinity_broken
from tracekit_irq.diagnoses.commands_unanswered import commands_unanswered
from tracekit_irq.diagnoses.completion_without_interrupt import completion_without_interrupt
from tracekit_irq.diagnoses.cpu_offline_refused import cpu_offline_refused
from tracekit_irq.diagnoses.device_gone import device_gone
from tracekit_irq.diagnoses.exhausted_at_alloc import exhausted_at_alloc
from tracekit_irq.diagnoses.exhausted_at_request import exhausted_at_request
from tracekit_irq.diagnoses.irte_exhausted import irte_exhausted
from tracekit_irq.diagnoses.left_behind import left_behind
from tracekit_irq.diagnoses.line_not_shared import line_not_shared
from tracekit_irq.diagnoses.lost_unexplained import lost_unexplained
from tracekit_irq.diagnoses.managed_lost import managed_lost
from tracekit_irq.diagnoses.no_bus_master import no_bus_master
from tracekit_irq.diagnoses.overcommit import overcommit
from tracekit_irq.diagnoses.remap_blocked import remap_blocked
from tracekit_irq.diagnoses.stray_vector import stray_vector
from tracekit_irq.diagnoses.stuck_pending import stuck_pending
from tracekit_irq.diagnoses.unhandled_line import unhandled_line
from tracekit_irq.models.complaints import Complaints
from tracekit_irq.models.doorbells import SmmuFaults
from tracekit_irq.models.messages import MessageResults
from tracekit_irq.models.remap import RemapFaults
from tracekit_irq.models.vectors import Vectors


@hookimpl
def tracekit_models() -> list[type]:
    """Return the models of the vector pool, of drivers' messages on it, and of IOMMU faults."""
    return [Vectors, MessageResults, Complaints, RemapFaults, SmmuFaults]


@hookimpl
def tracekit_diagnoses() -> list[object]:
    """Return VEC-001 to VEC-008, IRQ-001 to IRQ-010."""
    return [
        exhausted_at_request,
        exhausted_at_alloc,
        overcommit,
        affinity_broken,
        irte_exhausted,
        managed_lost,
        cpu_offline_refused,
        left_behind,
        lost_unexplained,
        stuck_pending,
        remap_blocked,
        stray_vector,
        no_bus_master,
        unhandled_line,
        completion_without_interrupt,
        commands_unanswered,
        device_gone,
        line_not_shared,
    ]


@hookimpl
def tracekit_machines() -> dict[str, type]:
    """Return the CPU vectors of a host, and one remapping table."""
    from tracekit_irq.machines.irte_pool import IrtePool
    from tracekit_irq.machines.vector_pool import VectorPool

    return {"VectorPool": VectorPool, "IrtePool": IrtePool}


@hookimpl
def tracekit_lanes() -> list[Any]:
    """Return the lanes of interrupts and CPU vectors."""
    from tracekit_irq.lanes import cpu_vectors, interrupts, refused, silences

    return [interrupts, refused, silences, cpu_vectors]
