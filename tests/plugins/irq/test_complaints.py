"""Drivers' complaints in words of their own: heard by structure, graded by what they hold; ordinary lines are quiet."""

import pytest

from tracekit.testing import findings, shape, tables

# With an errno, in one of its spellings.
REFUSED = [
    "spcs 0000:01:00.0: could not enable MSI-X mode, ret -28",
    "usnic 0000:0b:00.0: MSI init failed - -28",
    "ptp_pch 0000:02:0a.4: error -ENOSPC: Request msi failed",
    "alx 0000:02:00.0 eth0: request msix irq failed, error = -28",
    "arcmsr0: fail to enable msi-x (-28)",
    "uio_pci_generic 0000:03:00.0: Error enabling MSI -28",
    "nnp 0000:03:00.0: Error enabling MSI. rc = -28",
    "sgdma 0000:03:00.0: Error enabling MSI-X (-28)",
    "mic 0000:04:00.0: Error enabling MSIx. rc = -28",
    "dante 0000:05:00.0: Could not allocate enough msi interrupts: -28",
    "bhndb 0000:05:00.0: failed to allocate MSI interrupts: -28",
    "hisi_ptt 0000:7c:00.0: allocate irq vector failed -28",
    "stars 0000:7c:00.0: Get irq vector failed. (dev_id=1; ret=-28)",
    "mhi 0001:01:00.0: Failed to enable MSI, ret:-28",
    "atomisp-isp2 0000:00:03.0: Failed to enable msi (-28)",
    "snet_vdpa 0000:81:00.0: pci_alloc_irq_vectors() failed -28",
    "edgx 0000:03:00.0: pci_alloc_irq_vectors failed: -28!",
    "rp1 0002:01:00.0: pci_alloc_irq_vectors failed - -28",
    "ibeos 0000:05:00.0: pci_alloc_irq_vectors returned -28",
    "hws 0000:04:00.0: pci_alloc_irq_vectors: -28",
    "ar 0000:09:00.0: Failed to allocate MSI vectors, err=-28, min=1, max=32",
    "thunderbolt 0000:07:00.0: error -ENOSPC: Failed to allocate MSI-X vectors",
    "rnp 0000:01:00.0: pci_enable_msix failed: req:64 err:-28",
    "smartpqi 0000:5e:00.0: MSI-X init failed with error -28",
    "hpsa 0000:03:00.0: MSI-X init failed -28",
    "timberdale 0000:02:00.0: MSI-X init failed: -28, expected entries: 12",
    "xfpga 0000:0b:00.0: request irq vectors failed(-28)",
    "tsp 0000:06:00.0: pcie: allocate irq vectors failed,ret=-28.",
    "qpdma 0000:01:00.0: Couldn't enable MSI mode: -28",
    "xdma 0000:d8:00.0: Couldn't enable MSI-X mode: -28",
    "atl1 0000:02:00.0: Unable to enable MSI: -28",
    "xe 0000:03:00.0: [drm] *ERROR* Failed to allocate IRQ vectors: -28",
    "eni-vdpa 0000:06:00.0: failed to allocate irq vectors want 12 but -28",
    "intel_quickspi 0000:00:10.0: Failed to allocate IRQ vectors. ret = -28",
    "ath10k_pci 0000:3a:00.0: failed to request MSI irq 45: -28",
    "rvu_nicpf 0002:02:00.0: Request for 12 msix vectors failed, ret -28",
    "nicvf 0002:01:00.1: Request for #20 msix vectors failed, returned -28",
    "amd-xgbe 0000:06:00.1: multi MSI/MSI-X enablement failed, -28",
    "nfp 0000:82:00.0: Failed to allocate MSI-X irqs: -28",
    "sfc 0000:03:00.0: could not enable MSI-X (-28)",
    "efa 0000:00:06.0: Failed to enable MSI-X, num_vecs 2 err -28",
    "gve 0000:00:04.0: Could not enable min msix 3/-28",
    "hisi_zip 0000:75:00.0: Failed to enable MSI vectors(-28)!",
    "ccp 0000:22:00.2: could not enable MSI (-28)",
    "bcm-vk 0000:b3:00.0: failed to get min 32 MSIX interrupts, got(-28)",
    "rtw89_8852ae 0000:02:00.0: failed to alloc irq vectors, ret -28",
    "saa716x 0000:02:00.0: MSI-X request failed <-28>",
    "intel-ipu6 0000:00:05.0: error -ENOSPC: Failed to alloc irq vectors",
    "pds_core 0000:21:00.0: Can't alloc IRQ vectors: -28",
    "ptp_ocp 0000:0a:00.0: alloc_irq_vectors err: -28",
    "mpi3mr0: cannot allocate irq vectors: ret -28",
    "pm80xx 0000:04:00.0: pci_alloc_irq_vectors request ret:-28 no of intr 64",
    "cobalt 0000:05:00.0: MSI enable failed: No space left on device",
    "foo_nic 0000:05:00.0 eth3: request_irq for queue 3 failed: errno: 28",
    "habanalabs 0000:19:00.0: Failed to request MSI-X vector 4, rc -28",
    "bnx2x 0000:01:00.0 eth4: MSI-X is not attainable  rc -28",
    "cnictwo 0000:01:00.0: MSI is not attainable, err -28",
    "bnx2x: [bnx2x_enable_msix:1650(eth4)]MSI-X is not attainable  rc -28",
    "foofc 0000:86:00.0: 0:0486 MSI-X fast-path (3) request_irq failed (-28)",
    "mydma 0000:19:00.0: dma channel irq setup: could not reserve 9 interrupt vectors (ENOSPC)",
    "qep 0000:42:00.0: no MSI-X capability: -22",
    "qep 0000:42:00.0: No MSIX support (-28)",
    "qep_set_queues:No usable MSI vectors -28",
    "virtio_scsi virtio4: Error -28 initializing vqs",
    "myri10ge 0000:08:00.0: Error -28 setting up MSI-X",
    "qep 0000:08:00.0: error (-28) while requesting MSI vectors",
    "qep 0000:08:00.0: Error -28 requesting irq 62",
    "xdma:enable_msi_msix: Couldn't enable MSI-X mode: -28",
    "qep:qep_setup_irqs(): MSI-X init failed: -28",
    "bnx2x: [bnx2x_req_msix_irqs:1740(eth4)]request fp #3 irq (62) failed  rc -28",
]
# Without one.
UNEXPLAINED = [
    "c4xxx 0000:1a:00.0: Failed to allocate 33 MSI-X vectors",
    "elx 0000:81:00.0: MSI-X allocation failed",
    "hpsa 0000:03:00.0: MSI init failed",
    "mic 0000:04:00.0: No MSIx vectors available for use.",
    "bht-sd 0000:03:00.0: request msi irq 44 for bht-sd failed",
    "xdma 0000:03:00.0: probe_one: fail to enable msi/msix",
    "et 0000:05:00.0: finding irq vector failed",
    "fbnic 0000:01:00.0: Failed to allocate MSI-X entries",
    "dwmac-loongson-pci 0000:00:03.0: Failed to allocate MSI IRQs",
    "mlxsw_spectrum 0000:03:00.0: MSI-X init failed",
    "rocker 0000:00:05.0: MSI-X init failed",
    "mtip32xx 0000:41:00.0: Unable to enable MSI interrupt.",
    "mchp_i2c 0000:06:00.3: Cannot allocate MSI vectors for i2c",
    "intel_ish_ipc 0000:00:13.0: ISH: Failed to allocate IRQ vectors",
    "ifcvf 0000:17:00.5: Failed to request MSI-X irq",
    "netxen_nic 0000:06:00.0: Failed to acquire MSI-X/MSI interrupt vectors",
    "sfc 0000:03:00.0 eth2: could not enable MSI",
    "c6xx 0000:3d:00.0: Failed to enable MSI-X IRQ(s)",
    "rtw_8822ce 0000:03:00.0: failed to alloc PCI irq vectors",
    "nitro_enclaves 0000:00:02.0: Error in alloc MSI-X vecs",
    "dw-edma-pcie 0000:01:00.0: fail to alloc IRQ vector (number of IRQs=8)",
    "pci-endpoint-test 0000:01:00.0: Failed to get MSI interrupts",
    "pci-endpoint-test 0001:01:00.0: Failed to get MSI-X interrupts",
    "mei_me 0000:00:16.0: request_threaded_irq failure. irq = 154",
    "intel-eth-pci 0000:00:1d.1: stmmac_config_single_msi: single IRQ enablement failed",
    "mpi8sas0: unable to allocate interrupt 90!",
    "ioatdma 0000:00:04.3: no usable interrupts",
    "foo 0000:00:04.3: Failed to register interrupt handler",
    "foo 0000:00:04.3: Request IRQ 45 failed",
    "foo 0000:00:04.3: irq 45 request failed",
    "snd_hda_intel 0000:00:1b.0: unable to grab IRQ 47, disabling device",
    "foo 0000:00:04.3: MSI-X vectors that were granted are fewer than the required",
    "bnxt_en 0000:3b:00.0 (unnamed net_device) (uninitialized): Not enough completion rings/MSI-X available",
]
# The driver goes on with another kind.
FALLS_BACK = [
    "r8125 0000:02:00.0: no MSI. Back to INTx.",
    "qla2xxx [0000:05:00.0]-00c6:0: MSI-X: Failed to enable support with 16 vectors, using fewer vectors.",
    "NVRM: GPU 0000:01:00.0: Failed to enable MSI; falling back to PCIe virtual-wire interrupts.",
    "iwlwifi 0000:00:14.3: Failed to enable msi-x mode (ret -28). Moving to msi mode.",
    "mt7915e 0000:03:00.0: Request MSI resource failed, use INTx!",
    "ccusr 0000:03:00.0: fail to enable MSI - use legacy mode",
    "tsi721 0000:06:00.0: MSI/MSI-X is not available. Using legacy INTx.",
    "al_eth 0000:00:01.0: pci_enable_msix failed! using intx instead.",
    "bfad0: pci_enable_msix failed (-28), use line based.",
    "k1c_dma 0000:00:02.0: failed to request MSI irq, fallback to wired IRQ",
    "esas2r 0000:0b:00.0: failed to enable MSI for adapter 0, falling back to legacy interrupts (err=-28)",
    "igb 0000:07:00.0: Failed to initialize MSI interrupts. Falling back to legacy interrupts.",
    "mlx4_core 0000:05:00.0: Falling back to legacy interrupts as there is not enough MSI-X vectors: n_hw_eqs 8",
    "ccp 0000:22:00.2: could not enable MSI-X (-28), trying MSI",
    "ib_qib 0000:02:00.0: pci_alloc_irq_vectors 8 failed: -28, falling back to INTx",
]
# ... or with fewer.
FEWER = [
    "ice 0000:4b:00.0: Not enough MSI-X vectors to support RDMA.",
    "hpsa 0000:03:00.0: only 4 MSI-X vectors available",
    "tg3 0000:02:00.0 eth1: Requested 5 MSI-X vectors, received 2",
    "qep 0000:02:00.0: wanted 9 irq vectors but got only 3",
    "qla2xxx [0000:05:00.0]-003a:1: Failed to reserve interrupt 16 already in use.",
    "qed 0000:05:00.0: Trying to enable MSI-X with less vectors (9 out of 17)",
    "qlcnic 0000:04:00.0: Unable to allocate 8 MSI-X vectors, Available vectors 4",
]
ORDINARY = [
    "evt13: (pci_alloc_irq_vectors_affinity+0xad/0x110 <- __pci_enable_msix_range) ret=-28",
    "evt13: (vfio_msi_enable+0xad/0x110 [vfio_pci_core] <- pci_alloc_irq_vectors) ret=-28",
    "evt13: (ffffffff817a5d44 <- ffffffff817a46ad) msix=1 ret=-28",
    "hisi_sas 0000:74:02.0: timed out waiting until the reset is complete",
    "drv 0000:74:02.0: Timeout: waiting until DMA was completed",
    "drv 0000:74:02.0: command 0x12 timed out, no completion found",
    "mlx5_core 0000:07:00.0: wait_func_handle_exec_timeout:1086:(pid 71): cmd[0]: DESTROY_EQ(0x302) No done completion",
    "drv 0000:74:02.0: MSI enabled but link lost",
    "drv 0000:74:02.0: MSI-X on port 3 enabled, carrier lost",
    "drv 0000:74:02.0: interrupt mode polling, carrier lost",
    "elan_i2c 0-0015: no interrupt, using polling",
    "layerscape-pcie 3400000.pcie: error -ENXIO: IRQ msi not found",
    "GICv2m: Failed to create GICv2m MSI domains",
    "DMAR-IR: Failed to copy IR table for dmar0 from previous kernel",
    "of_irq_parse_pci: failed with rc=-22",
    "pinctrl-amd AMDI0030:00: failed to enable wake-up interrupt",
    "thunderbolt 0000:07:00.0: interrupt for TX ring 0 is already enabled",
    "hv_pci 0000-0000: Request for interrupt failed: 0xc0000001",
    "qep 0000:42:00.0: no MSI-X capability, using 4 queues",
    "qep 0000:42:00.0: fallback to MSI",
    "qep 0000:42:00.0: Failed to get firmware irq stats: -95",
    "tg3 0000:02:00.0 eth1: Requested 5 MSI-X vectors, received 5",
    "qep 0000:42:00.0: Error -5 reading MSI address",
    "qep:qep_probe: no error, MSI-X enabled",
    "bnx2x: [bnx2x_nic_load:2620(eth4)]request irq (62) done, wait -28 us",
    "qep 0000:42:00.0: unable to grab the lock, irq 45",
    "qep 0000:42:00.0: failed to get interrupt status register: -5",
    "qep 0000:42:00.0: creating 8 queues, 4 vectors, insufficient irq vectors ok",
    "serial8250: ttyS1: unable to request irq, polling",
    "serial8250: ttyS1: failed to request irq 4 (-16), falling back to polling",
    "serial 0000:04:00.0: Couldn't register serial port e030, irq 18, type 0, error -28",
    "parport_serial 0000:04:00.0: failed to add port 2, irq 18: -28",
    "iichid3: Interrupt setup failed. Fallback to sampling",
    "msi_ec: Failed to enable MSI shift mode (err=-22)",
    "msi-wmi: Failed to enable MSI hotkeys: -22",
    "msi_wmi_platform: MSI init failed: -19",
    "msiexec[71]: MSI: Failed to enable feature 3, falling back to legacy installer",
    "setup-tool[71]: Failed to enable MSI: -22",
    "# bad: [0123456789ab] Merge tag 'irq-msi-2021-11-30' of git://example.org/tip",
    "qep 0000:42:00.0: MSI-X latency is lower than 5 us",
    "qep 0000:42:00.0: Falling back to single MSI vector.",
    "gpio_foo 0000:00:1e.0: failed to initialize interrupt controller",
    "gpio_foo 0000:00:1e.0: failed to init irq domain: -22",
    "NVRM: loading NVIDIA UNIX x86_64 Kernel Module, GPU without MSI error",
    "qep 0000:42:00.0: no interrupt storm detected",
    "qep 0000:42:00.0 eth0: MSI interrupt test passed, no interrupts lost",
    "nvme nvme0: 0 lost interrupts since boot",
    "qep 0000:42:00.0: no missed interrupts on queue 3",
    "qep 0000:42:00.0: falling back to legacy submission",
    "virtio_net virtio0: fall back to line discipline",
    "mmc0: falling back to legacy",
    "NVRM: Can't find a memory region for your NVIDIA card!",
    "pci_bus 0000:00: root bus resource [irq vectors], no error",
    "iommu: Failed to get MSI doorbell window",
    "nouveau 0000:01:00.0: pmu: no reply, error -28, irq enabled",
    "mtk_dp 14c50000.dp-tx: Read irq vector failed: -121",
    "hv_dev 0000:06:00.0: Allocated 8 MSI-X vectors",
    "bnx2x 0000:06:00.0: Requesting 9 MSI-X vectors",
    "ice 0000:06:00.0: attempting to enable 33 MSI-X vectors",
    "spcs 0000:06:00.0: obtained 8 MSI-X irqs",
    "ath11k_pci 0000:06:00.0: request MSI one vector",
    "atusb 1-1:1.0: no interrupt received yet is fine, error counter 0",
    "pcieport 0000:00:1c.4: AER: no error, MSI-X interrupts enabled",
    "ixgbe 0000:06:00.0: MSI-X interrupts enabled after error recovery",
    "mlx5_core 0000:06:00.0: firmware error recovered, 16 vectors, MSI-X ok",
    "nvme nvme0: missing or invalid SUBNQN field.",
    "pci 0000:06:00.0: [Firmware Bug]: MSI-X BAR error -22 reported by BIOS",
    "amdgpu 0000:06:00.0: amdgpu: Will use PSP to load VCN, MSI-X disabled, no failure",
    "ena 0000:00:05.0: MSI-X enabled with 16 vectors",
    "nvme 0000:01:00.0: irq 16 using MSI",
    "i40e 0000:01:00.0: irq 102 for MSI/MSI-X",
    "xhci_hcd 0000:00:14.0: irq 125, io mem 0xa1100000",
    "ahci 0000:00:17.0: irq 124 for MSI/MSI-X",
    "pcieport 0000:00:1c.0: PME: Signaling with IRQ 122",
    "pcieport 0000:00:1c.0: AER: enabled with IRQ 122",
    "pcieport 0000:00:1c.0: pciehp: Timeout on hotplug command 0x1038 (issued 65284 msec ago)",
    "pci 0000:00:1f.3: MSI quirk detected; MSI disabled",
    "pci_msi: using legacy interrupts by request",
    "PCI: MSI is disabled by pci=nomsi",
    "ACPI FADT declares the system doesn't support MSI, so disable it",
    "acpi PNP0A08:00: _OSC: OS supports [ExtendedConfig ASPM ClockPM Segments MSI EDR HPX-Type3]",
    "acpi PNP0A08:00: _OSC: OS requested [PCIeHotplug SHPCHotplug PME AER]; platform willing to grant []; failed with error AE_ERROR; disabling ASPM",
    "DMI: Micro-Star International Co., Ltd. MS-7C95/B550M PRO-VDH WIFI (MS-7C95), BIOS 2.A0 05/18/2022",
    "msi_wmi: This hardware doesn't contain a MSI laptop error",
    "msi_ec: Your device doesn't support MSI EC: failed",
    "platform MSI: failed",
    "tpm tpm0: [Firmware Bug]: TPM interrupt not working, polling instead",
    "tpm_tis 00:05: 1.2 TPM (device-id 0x0, rev-id 78) error -28",
    "i915 0000:00:02.0: [drm] *ERROR* failed to create context, -28",
    "i915 0000:00:02.0: [drm] GT0: GuC: failed to allocate -28",
    "EXT4-fs error (device sda1): ext4_mb_new_blocks: No space left on device -28",
    "usb 1-1: can't set config #1, error -28",
    "usb 1-1.4: Not enough bandwidth for new device state.",
    "xhci_hcd 0000:00:14.0: Not enough bandwidth, error -28",
    "nouveau 0000:01:00.0: DRM: failed to initialise sync subsystem, -28",
    "snd_hda_intel 0000:00:1f.3: azx_get_response timeout, switching to polling mode: last cmd=0x206f0015",
    "snd_hda_intel 0000:0b:00.1: No response from codec, disabling MSI: last cmd=0x20170500",
    "rtc_cmos 00:00: failed to set irq wake",
    "hpet: Lost 3 RTC interrupts",
    "rtc: lost 64 interrupts",
    "hpet1: lost 12 rtc interrupts",
    "mmc0: Timeout waiting for hardware interrupt.",
    "mmc0: Timeout waiting for hardware cmd interrupt.",
    "i801_smbus 0000:00:1f.4: Timeout waiting for interrupt!",
    "i801_smbus 0000:00:1f.4: Transaction timeout",
    "smpboot: CPU 3 failed to start, irq vectors unchanged",
    "perf: interrupt took too long (2502 > 2500), lowering kernel.perf_event_max_sample_rate to 79000",
    "e1000e 0000:00:1f.6: Interrupt Throttling Rate (ints/sec) set to dynamic conservative mode",
    "ixgbe 0000:01:00.0: Multiqueue Enabled: Rx Queue count = 16, Tx Queue count = 16",
    "mlx5_core 0000:01:00.0: E-Switch: Total vports 10, per vport: max uc(128) max mc(2048)",
    "megaraid_sas 0000:01:00.0: current msix/max num queues (96/96)",
    "nvme nvme0: 8/0/0 default/read/poll queues",
    "vfio-pci 0000:01:00.0: enabling device (0000 -> 0003)",
    "pcieport 0000:00:01.0: DPC: error containment capabilities: Int Msg #0, RPExtensions+ PoisonedTLP+",
    "pcieport 0000:00:01.0: AER: Multiple Corrected error message received from 0000:01:00.0",
    "pci 0000:00:00.0: BAR 0: failed to assign [mem size 0x10000000]",
    "pci 0000:08:00.0: can't claim BAR 4 [io 0x0000-0x000f]: no compatible bridge window",
    "baikal_pcie 0000:00:00.0: Failed to assign IRQs",
    "genirq: Flags mismatch irq 16. 00000080 (i801_smbus) vs. 00000000 (thing)",
    "smo8800 SMO8810:00: failed to obtain IRQ",
    "floppy: [fd0] Couldn't request interrupt",
    "lpc_ich 0000:00:1f.0: No MFD cells added",
    "intel-lpss 0000:00:15.0: failed to get irq: -517",
    "brcm-pcie fd500000.pcie: error -EPROBE_DEFER: failed to get msi parent",
    "rockchip-pcie f8000000.pcie: failed to get msi domain, error -12",
    "nvme nvme0: I/O 0 QID 0 timeout, disable controller",
    "nvme nvme0: I/O 7 QID 3 timeout, aborting",
    "iwlwifi 0000:00:14.3: Error sending SYSTEM_STATISTICS_CMD: time out after 2000ms.",
    "mce: [Hardware Error]: Machine check events logged",
    "vmw_pvscsi: using MSI-X",
    "vmw_pvscsi 0000:03:00.0: using MSI",
    "aacraid 0000:01:00.0: MSI-X vectors supported: 32, error recovery enabled",
    "qla2xxx [0000:05:00.0]-001d: : Found an ISP2532 irq 34 iobase 0x000000",
    "be2net 0000:04:00.0: be2net(MSI-X) link failed to come up",
    "igb 0000:07:00.0: Using MSI-X interrupts. 8 rx queue(s), 8 tx queue(s)",
    "bnxt_en 0000:17:00.0 eth0: Link Down, MSI-X intact, firmware error recovery not supported",
    "vgaarb: failed to allocate",
    "pci-hyperv: MSI domain created",
    "systemd[1]: Failed to start fwupd MSI update service.",
    "fwupd: failed to load MSI plugin: not supported",
    "gzip: failed vectors test",
    "irqbalance: Cannot change IRQ 24 affinity: No space left on device",
    "irqbalance: IRQ 33 affinity is now unmanaged",
    'kernel: irq 16: nobody cared (try booting with the "irqpoll" option)',
    "vfio-pci 0000:01:00.0: vfio_ecap_init: hiding ecap 0x19@0x900",
    "r8169 0000:02:00.0 eth0: RTL8168h/8111h, 30:9c:23:00:00:00, XID 541, IRQ 128",
    "arm-smmu-v3 arm-smmu-v3.0.auto: msi_domain absent - falling back to wired irqs",
    "arm-smmu-v3 arm-smmu-v3.2.auto: failed to allocate MSIs - falling back to wired irqs",
    "\t no of cores: 64, max_msix_vectors: -1",
    "So: MSI setup failed once in 1000 boots, see above.",
    "Hence: could not allocate MSI-X vectors at the second try",
    "pcieport 10000:e0:06.0: can't derive routing for PCI INT A",
    "pcieport 0000:00:1d.0: can't find IRQ for PCI INT B; please try using pci=biosirq",
    "vmd 10000:e0:17.0: MSI remapping enabled",
    "drm_gpu 0000:01:00.0: MSI is enabled, failed frames 0",
    "ice 0000:4b:00.0: The DDP package was successfully loaded; 64 MSI-X vectors, no error",
]


def log(*messages: str) -> str:
    return "".join(f"[{10 + i:5d}.{i:06d}] {m}\n" for i, m in enumerate(messages))


@pytest.mark.parametrize("message", REFUSED)
def test_a_refusal_with_an_errno_is_probable_whatever_its_words(message: str) -> None:
    found = findings(log(message))
    assert [(f.code, [e.line for e in f.evidence]) for f in found] in ([("MSI-004", [1])], [("VEC-001", [1])])
    assert [f.grade for f in found] == ["probable" if found[0].code == "MSI-004" else "possible"]


@pytest.mark.parametrize("message", UNEXPLAINED)
def test_a_refusal_without_an_errno_is_possible_and_low(message: str) -> None:
    assert [(f.code, f.grade, f.severity) for f in findings(log(message))] == [("MSI-004", "possible", "low")]


@pytest.mark.parametrize("message", UNEXPLAINED)
def test_it_is_probable_and_high_when_the_driver_gives_up(message: str) -> None:
    who = message.split(":")[0] if message.startswith("mpi") else message.split(" ")[1].rstrip(":")
    text = log(message, f"drv {who}: probe with driver drv failed with error -5")
    assert [(f.code, f.grade, f.severity, [e.line for e in f.evidence]) for f in findings(text)] == [
        ("MSI-004", "probable", "high", [1, 2])
    ]
    other = log(message, "drv 0000:99:00.0: probe with driver drv failed with error -5")
    assert [f.severity for f in findings(other)] == ["low"]


@pytest.mark.parametrize("message", FALLS_BACK)
def test_a_fall_back_that_works_is_low(message: str) -> None:
    assert [(f.code, f.severity) for f in findings(log(message))] == [("MSI-004", "low")]


@pytest.mark.parametrize("message", FEWER)
def test_fewer_vectors_are_no_more_than_low(message: str) -> None:
    assert [(f.code, f.severity) for f in findings(log(message))] == [("MSI-004", "low")]


@pytest.mark.parametrize("message", ORDINARY)
def test_ordinary_lines_are_quiet(message: str) -> None:
    heard = tables(log("Linux version 6.1.0", message, message))
    assert [name for name in ("driver_refusals", "driver_silences") if name in heard and heard[name].height] == []


def test_a_wording_that_is_known_gives_one_finding_still() -> None:
    found = findings(log("vmxnet3 0000:0b:00.0: Failed to enable MSI-X, error: -28", "vmxnet3 0000:0b:00.0: MSI-X init failed: -28"))
    assert shape(found) == [("MSI-004", "proven", "0000:0b:00.0", None, [1])]


@pytest.mark.parametrize("error", ["-12", "-ENOMEM", "-517", "-EPROBE_DEFER"])
def test_memory_and_a_probe_that_is_put_off_are_no_refusal(error: str) -> None:
    assert findings(log("Linux version 6.1.0", f"mydrv 0000:01:00.0: Failed to enable MSI-X: {error}")) == []


@pytest.mark.parametrize("left", [0, 1, 7])
def test_a_number_near_msix_interrupts_is_read_by_its_subject(left: int) -> None:
    for tail in ("", ". Not enough to support minimum of 2 MSI-X interrupts per VF for 4 VFs"):
        (found,) = findings(log(f"ice 0000:4b:00.0: Only {left} MSI-X interrupts available for SR-IOV{tail}"))
        assert (found.code, found.grade, found.values["granted"], found.values["of_vfs"]) == ("MSI-004", "probable", left, True)
        assert "VEC" not in found.advice
    (own,) = findings(log(f"ice 0000:4b:00.0: Only {left} MSI-X interrupts available"))
    assert (own.code, own.values["of_vfs"]) == ("MSI-004", False)


def test_vfs_is_no_virtual_function() -> None:
    told = findings(log("i2c_foo 0000:00:1f.3: Failed to allocate irq 18: -16 VFS: Mounted root (ext4 filesystem) readonly."))
    assert [(f.code, f.severity, f.values["of_vfs"]) for f in told] == [("MSI-004", "low", False)]
    for words in ("VF", "VFs", "vfs", "Vfs"):
        (found,) = findings(log(f"qep 0000:42:00.0: Failed to allocate 4 MSI-X vectors for {words}: -28"))
        assert found.values["of_vfs"]


def test_a_refusal_without_a_device_is_of_the_device_that_its_driver_gives_up_on() -> None:
    told, end = "qep_set_queues:No MSIX support -22", "qep: probe of 0000:42:00.0 failed with error {}"
    assert shape(findings(log(told, end.format(-22)))) == [("MSI-004", "probable", "0000:42:00.0", None, [1, 2])]
    for other in (end.format(-5), end.format(-22).replace("qep", "igb")):
        assert shape(findings(log(told, other))) == [("MSI-004", "probable", "qep_set_queues", None, [1])]


@pytest.mark.parametrize("head", ["Failed to enable SRIOV: ", "Unable to start VFs: ", "Failed to probe eth2 queues: "])
def test_a_sentence_before_a_colon_is_no_device(head: str) -> None:
    assert [f.subject.label for f in findings(head + "Only 2 MSI-X interrupts available for SR-IOV.\n")] == ["an unnamed device"]
    assert [f.subject.label for f in findings("ice 0000:4b:00.0: Only 2 MSI-X interrupts available for SR-IOV.\n")] == ["0000:4b:00.0"]


def test_interrupts_that_a_driver_cannot_set_up_again() -> None:
    (found,) = findings(log("edge 0000:0a:00.0: Couldn't reinit interrupts: -22"))
    assert (found.code, found.grade, found.values["errno"]) == ("MSI-004", "possible", -22)


POLL = "ath10k_pci 0000:01:00.0: failed to receive control response completion, polling.."


def test_a_poll_that_found_nothing_is_no_lost_interrupt() -> None:
    nothing = log("Linux version 6.1.0", POLL, "ath10k_pci 0000:01:00.0: ctl_resp never came in (-110)")
    assert findings(nothing) == []
    next_step = log("Linux version 6.1.0", POLL, "ath10k_pci 0000:01:00.0: Service connect timeout")
    assert shape(findings(next_step)) == [("IRQ-007", "proven", "0000:01:00.0", None, [2])]
    others = log(POLL, "ath10k_pci 0000:02:00.0: ctl_resp never came in (-110)")
    assert [f.code for f in findings(others)] == ["IRQ-007"]


@pytest.mark.parametrize(
    ("message", "grade", "queue"),
    [
        ("foo_nvm 0000:05:00.0: cmd 0x17 QID 5 timed out, completion found", "proven", ["5"]),
        ("hpre 0000:05:00.0: request timeout, but was already complete", "proven", []),
        ("foo_core 0000:05:00.0: cmd 0x88 recovered after timeout", "proven", []),
        ("foo_core 0000:05:00.0: Recovered 4 EQEs on EQ 17", "proven", ["17"]),
        ("efa 0000:05:00.0: The device sent a completion but the driver didn't receive any interrupt (cmd 4)", "proven", []),
        ("smmute 0000:05:00.0: missed MSI for transaction 7", "probable", []),
        ("mydrv 0000:05:00.0: MSI-X interrupt was never received", "probable", []),
        ("mydrv 0000:05:00.0: interrupt for CQ 4 was lost", "possible", ["4"]),
        ("rocker 0000:05:00.0: no interrupt received within a timeout", "possible", []),
        ("ib_qib 0000:05:00.0: No interrupts detected, not usable.", "possible", []),
        ("ena 0000:05:00.0: Potential MSIX issue on Tx side Queue = 6. Reset the device", "possible", ["6"]),
        ("mydrv 0000:05:00.0: possible lost interrupt on queue 4", "possible", ["4"]),
        ("mydrv 0000:05:00.0: no reply to mailbox command, missing its completion, polling...", "possible", []),
    ],
)
def test_an_interrupt_that_did_not_come_is_heard_in_any_words(message: str, grade: str, queue: list[str]) -> None:
    (found,) = findings(log(message))
    assert (found.code, found.grade, found.subject.label, found.values["queues"]) == ("IRQ-007", grade, "0000:05:00.0", queue)


@pytest.mark.parametrize(
    ("end", "grade"),
    [
        ("foo_pci 0000:01:00.0: service ready completion received, continuing normally", "proven"),
        ("foo_pci 0000:01:00.0: device info: 0x1", "possible"),
        ("foo_pci 0000:02:00.0: service ready completion received, continuing normally", "possible"),
        ("foo_pci 0000:01:00.0: polling timed out", None),
    ],
)
def test_what_a_poll_found_decides_whether_an_interrupt_was_missed(end: str, grade: str | None) -> None:
    announced = "foo_pci 0000:01:00.0: failed to receive service ready completion, polling.."
    assert [f.grade for f in findings(log(announced, end))] == ([grade] if grade else [])


def test_graphics_fences_that_time_out_again_and_again_are_probable() -> None:
    named = "amdgpu 0000:06:00.0: amdgpu: Fence fallback timer expired on ring gfx"
    assert [(f.grade, f.subject.label, f.values["queues"]) for f in findings(log(named))] == [("possible", "0000:06:00.0", ["gfx"])]
    fence = "[drm] Fence fallback timer expired on ring sdma0"
    assert [f.grade for f in findings(log(fence))] == ["possible"]
    assert [f.grade for f in findings(log(fence, fence))] == ["probable"]


def polled(drive: int, at: float, queue: int = 3) -> str:
    return f"[{at:12.6f}] nvme nvme{drive}: I/O 1 QID {queue} timeout, completion polled\n"


def test_drives_that_fall_silent_in_the_same_second_have_one_cause() -> None:
    text = "".join(polled(n, 10 + n / 10_000) for n in range(4))
    (found,) = findings(text)
    assert shape([found]) == [("IRQ-007", "proven", "host", None, [1, 2, 3, 4])]
    assert (found.values["devices"], found.values["queues"]) == (["nvme0", "nvme1", "nvme2", "nvme3"], ["3"])


def test_drives_that_fall_silent_at_other_times_are_told_one_by_one() -> None:
    assert [f.subject.label for f in findings(polled(0, 10) + polled(1, 55))] == ["nvme0", "nvme1"]


def timed_out(drive: int, at: float, queue: int) -> str:
    return f"[{at:12.6f}] nvme nvme{drive}: I/O 1 QID {queue} timeout, aborting\n"


def test_one_queue_number_that_times_out_on_several_controllers_is_possibly_its_cpu() -> None:
    assert shape(findings(timed_out(0, 40, 5) + timed_out(1, 41, 5))) == [("IRQ-007", "possible", "host", None, [1, 2])]
    quiet = [
        timed_out(0, 40, 5) + timed_out(1, 41, 6),  # two queues
        timed_out(0, 40, 5) + timed_out(1, 41, 5) + timed_out(1, 42, 6),  # and another
        timed_out(0, 40, 1) + timed_out(1, 41, 1),  # often the only one
        timed_out(0, 40, 0) + timed_out(1, 41, 0),  # admin queues
        timed_out(0, 40, 5) + timed_out(1, 95, 5),  # far apart
        timed_out(0, 40, 5) + timed_out(0, 41, 5),  # one controller
    ]
    assert [findings(text) for text in quiet] == [[]] * len(quiet)


@pytest.mark.parametrize(
    "message",
    [
        "vfio 0000:00:08.0: Failed to set up TRIGGER eventfd signaling for interrupt MSIX-3: VFIO_DEVICE_SET_IRQS failure: Invalid argument",
        "vfio: Error: Failed to enable MSI",
        "pciback 0000:01:00.0: xen_pciback: error enabling MSI-X for guest 2: err -22!",
    ],
)
def test_what_a_vmm_or_xen_says_is_no_drivers_complaint(message: str) -> None:
    assert tables(message)["driver_refusals"].is_empty()


@pytest.mark.parametrize("error", ["-6", "-ENODEV", "-2"])
def test_an_errno_of_what_is_not_there_makes_it_possible_only(error: str) -> None:
    assert [(f.grade, f.severity) for f in findings(log(f"rockchip-dw-pcie a40000000.pcie: failed to get msi irq: {error}"))] == [
        ("possible", "low")
    ]


@pytest.mark.parametrize("error", [-16, -22, -5])
def test_an_irq_that_was_refused_may_be_a_line(error: int) -> None:
    (found,) = findings(log(f"i801_smbus 0000:00:1f.4: Failed to allocate irq 16: {error}"))
    assert (found.code, found.grade, found.severity, found.values["errno"]) == ("MSI-004", "possible", "low", error)
    assert found.summary == f"an irq of 0000:00:1f.4 was refused with {error}"


@pytest.mark.parametrize("mark", ("# ", "#", " * ", "// ", "; "))
def test_a_driver_that_a_comment_quotes_is_quiet(mark: str) -> None:
    text = "nvme nvme3: I/O 23 QID 0 timeout, completion polled\n"
    assert [f.grade for f in findings(text)] == ["proven"]
    assert findings(mark + text) == []
