"""MSI and MSI-X in the Linux core: enabling calls, irq domains and their sizes, and what goes wrong with them."""

from typing import Any

from tracekit import Model, hookimpl


@hookimpl
def tracekit_models() -> list[type[Model]]:
    """Return the models of enabling attempts, of irq domains and vectors, and of the kernel's own reports."""
    from tracekit_msi.models.enables import Enables
    from tracekit_msi.models.irq_misuses import IrqMisuses
    from tracekit_msi.models.kernel_reports import KernelReports
    from tracekit_msi.models.predictions import MsiReplay
    from tracekit_msi.models.vector_sets import VectorSets

    return [Enables, IrqMisuses, KernelReports, MsiReplay, VectorSets]


@hookimpl
def tracekit_diagnoses() -> list[Any]:
    """Return MSI-001 to MSI-009."""
    from tracekit_msi.diagnoses.hwsize_latent import hwsize_latent
    from tracekit_msi.diagnoses.kernel_bug import kernel_bug
    from tracekit_msi.diagnoses.mode_conflict import mode_conflict
    from tracekit_msi.diagnoses.no_domain import no_domain
    from tracekit_msi.diagnoses.short_grant import short_grant
    from tracekit_msi.diagnoses.stale_hwsize import stale_hwsize
    from tracekit_msi.diagnoses.table_shrunk import table_shrunk
    from tracekit_msi.diagnoses.table_unmapped import table_unmapped
    from tracekit_msi.diagnoses.vf_count_refused import vf_count_refused

    return [stale_hwsize, hwsize_latent, table_shrunk, short_grant, mode_conflict, no_domain, table_unmapped, vf_count_refused, kernel_bug]


@hookimpl
def tracekit_machines() -> dict[str, type]:
    """Return the PCI function, its irq domain, and its interrupts as the device sends them."""
    from tracekit_msi.machines.eventfd_source import EventfdSource
    from tracekit_msi.machines.interrupt_source import InterruptSource
    from tracekit_msi.machines.msi_domain import MsiDomain
    from tracekit_msi.machines.pci_function import PciFunction

    machines = (EventfdSource, InterruptSource, MsiDomain, PciFunction)
    return {machine.__name__: machine for machine in machines}


@hookimpl
def tracekit_lanes() -> list[Any]:
    """Return the lanes of a function: its irq domain, its table, its vectors, its enables."""
    from tracekit_msi.lanes import domains, enables, tables, vectors

    return [domains, tables, vectors, enables]
