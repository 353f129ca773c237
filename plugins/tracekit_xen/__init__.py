"""Xen: lives of pirqs, the room a domain has for them, and what goes wrong between guest, device model and hypervisor."""

from typing import Any

from tracekit import Model, hookimpl


@hookimpl
def tracekit_models() -> list[type[Model]]:
    """The pirq models."""
    from tracekit_xen.facts import PirqFacts, XenGates
    from tracekit_xen.lives import PirqLives

    return [PirqFacts, XenGates, PirqLives]


@hookimpl
def tracekit_diagnoses() -> list[Any]:
    """The XEN diagnoses and CFG-004."""
    return []
