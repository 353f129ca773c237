"""VFIO and its clients (QEMU, kvmtool): how vectors come and go while a guest runs, and what goes wrong then."""

from typing import Any

from tracekit import Model, hookimpl


@hookimpl
def tracekit_models() -> list[type[Model]]:
    """Return the models of windows (from calls, vectors and QEMU's trace), and of the devices of each guest."""
    from tracekit_vfio.models.predictions import VfioReplay
    from tracekit_vfio.models.vector_windows import QemuWindows, VectorWindows
    from tracekit_vfio.models.vm_devices import VmDevices
    from tracekit_vfio.models.windows import Windows

    return [Windows, VectorWindows, QemuWindows, VfioReplay, VmDevices]


@hookimpl
def tracekit_diagnoses() -> list[Any]:
    """Return VFIO-001 to VFIO-013, KVMT-001 to KVMT-003, CFG-001 to CFG-003."""
    from tracekit_vfio.diagnoses.block_rollback import block_rollback
    from tracekit_vfio.diagnoses.caplist_clobber import caplist_clobber
    from tracekit_vfio.diagnoses.early_enable import early_enable
    from tracekit_vfio.diagnoses.ims_unsupported import ims_unsupported
    from tracekit_vfio.diagnoses.intx_setup_failed import intx_setup_failed
    from tracekit_vfio.diagnoses.intx_spill import intx_spill
    from tracekit_vfio.diagnoses.lossy_policy import lossy_policy
    from tracekit_vfio.diagnoses.lost_on_resize import lost_on_resize
    from tracekit_vfio.diagnoses.msi_misroute import msi_misroute
    from tracekit_vfio.diagnoses.needless_resize import needless_resize
    from tracekit_vfio.diagnoses.never_started import never_started
    from tracekit_vfio.diagnoses.no_feedback import no_feedback
    from tracekit_vfio.diagnoses.no_remapping import no_remapping
    from tracekit_vfio.diagnoses.range_rejected import range_rejected
    from tracekit_vfio.diagnoses.reenable_failed import reenable_failed
    from tracekit_vfio.diagnoses.resize_window import resize_window
    from tracekit_vfio.diagnoses.shortage_blind import shortage_blind
    from tracekit_vfio.diagnoses.slow_path import slow_path
    from tracekit_vfio.diagnoses.vector_dead import vector_dead

    return [
        lost_on_resize,
        resize_window,
        reenable_failed,
        vector_dead,
        range_rejected,
        needless_resize,
        block_rollback,
        shortage_blind,
        intx_spill,
        slow_path,
        no_remapping,
        intx_setup_failed,
        never_started,
        caplist_clobber,
        early_enable,
        msi_misroute,
        lossy_policy,
        no_feedback,
        ims_unsupported,
    ]


@hookimpl
def tracekit_machines() -> dict[str, type]:
    """Return the opened device, its VMM, the guest, and what they can do together."""
    from tracekit_vfio.machines.configuration import Configuration
    from tracekit_vfio.machines.guest import Guest
    from tracekit_vfio.machines.kvmtool import Kvmtool
    from tracekit_vfio.machines.vfio_device import VfioDevice
    from tracekit_vfio.machines.vmm import Vmm

    machines = (Configuration, Guest, Kvmtool, VfioDevice, Vmm)
    return {machine.__name__: machine for machine in machines}


@hookimpl
def tracekit_lanes() -> list[Any]:
    """Return the lanes of VFIO: handlers of vectors, SET_IRQS, windows."""
    from tracekit_vfio.lanes import handlers, requests, windows

    return [handlers, requests, windows]
