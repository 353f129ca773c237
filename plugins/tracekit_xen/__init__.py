"""Xen: lives of pirqs, the room a domain has for them, and what goes wrong between guest, device model and hypervisor."""

from typing import Any

from tracekit import Model, hookimpl


@hookimpl
def tracekit_models() -> list[type[Model]]:
    """Return the pirq models."""
    from tracekit_xen.models.facts import PirqFacts, XenGates
    from tracekit_xen.models.lives import PirqLives
    from tracekit_xen.models.messages import MessagePirqs

    return [PirqFacts, XenGates, PirqLives, MessagePirqs]


@hookimpl
def tracekit_diagnoses() -> list[Any]:
    """Return XEN-001 to XEN-009 and CFG-004."""
    from tracekit_xen.diagnoses.bind_failed import bind_failed
    from tracekit_xen.diagnoses.frontend_refused import frontend_refused
    from tracekit_xen.diagnoses.hypervisor_irq_limit import hypervisor_irq_limit
    from tracekit_xen.diagnoses.map_failed import map_failed
    from tracekit_xen.diagnoses.msix_table_fault import msix_table_fault
    from tracekit_xen.diagnoses.never_unmasked import never_unmasked
    from tracekit_xen.diagnoses.pirq_leak import pirq_leak
    from tracekit_xen.diagnoses.pirq_reused import pirq_reused
    from tracekit_xen.diagnoses.pirq_starved import pirq_starved
    from tracekit_xen.diagnoses.unmap_failed import unmap_failed

    return [
        bind_failed,
        frontend_refused,
        hypervisor_irq_limit,
        map_failed,
        msix_table_fault,
        never_unmasked,
        pirq_leak,
        pirq_reused,
        pirq_starved,
        unmap_failed,
    ]


@hookimpl
def tracekit_machines() -> dict[str, type]:
    """Return the pirqs of a domain, and a guest with its device model on them."""
    from tracekit_xen.machines.xen_domain import HvmGuest, PirqSpace

    return {"PirqSpace": PirqSpace, "HvmGuest": HvmGuest}


@hookimpl
def tracekit_lanes() -> list[Any]:
    """Return the lanes of pirqs."""
    from tracekit_xen.lanes import pirqs, pirqs_in_use, refusals

    return [pirqs_in_use, pirqs, refusals]
