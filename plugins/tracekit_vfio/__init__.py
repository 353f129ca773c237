"""VFIO and its clients (QEMU, kvmtool): how vectors come and go while a guest runs, and what goes wrong then."""

from typing import Any

from tracekit import Model, hookimpl


@hookimpl
def tracekit_models() -> list[type[Model]]:
    """Windows, from calls, from the lives of vectors, and from QEMU's trace."""
    from tracekit_vfio.replay import VfioReplay
    from tracekit_vfio.vector_windows import QemuWindows, VectorWindows
    from tracekit_vfio.windows import Windows

    return [Windows, VectorWindows, QemuWindows, VfioReplay]


@hookimpl
def tracekit_diagnoses() -> list[Any]:
    """VFIO-001 to VFIO-011, KVMT-001 to KVMT-003, CFG-001 to CFG-003."""
    from tracekit_vfio.block_rollback import block_rollback
    from tracekit_vfio.caplist_clobber import caplist_clobber
    from tracekit_vfio.early_enable import early_enable
    from tracekit_vfio.ims_unsupported import ims_unsupported
    from tracekit_vfio.intx_spill import intx_spill
    from tracekit_vfio.lossy_policy import lossy_policy
    from tracekit_vfio.lost_on_resize import lost_on_resize
    from tracekit_vfio.msi_misroute import msi_misroute
    from tracekit_vfio.needless_resize import needless_resize
    from tracekit_vfio.no_feedback import no_feedback
    from tracekit_vfio.no_remapping import no_remapping
    from tracekit_vfio.range_rejected import range_rejected
    from tracekit_vfio.reenable_failed import reenable_failed
    from tracekit_vfio.resize_window import resize_window
    from tracekit_vfio.shortage_blind import shortage_blind
    from tracekit_vfio.slow_path import slow_path
    from tracekit_vfio.vector_dead import vector_dead

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
        caplist_clobber,
        early_enable,
        msi_misroute,
        lossy_policy,
        no_feedback,
        ims_unsupported,
    ]


@hookimpl
def tracekit_machines() -> dict[str, type]:
    """The opened device, its VMM, the guest, the delivery of one vector, and what they can do together."""
    from tracekit_vfio.configuration import Configuration
    from tracekit_vfio.delivery import Delivery
    from tracekit_vfio.guest import Guest
    from tracekit_vfio.kvmtool import Kvmtool
    from tracekit_vfio.vfio_device import VfioDevice
    from tracekit_vfio.vmm import Vmm

    machines = (Configuration, Delivery, Guest, Kvmtool, VfioDevice, Vmm)
    return {machine.__name__: machine for machine in machines}
