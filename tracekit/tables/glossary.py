"""Sentences for columns that many tables have, one per column name; a column's own sentence takes precedence."""

from collections.abc import Mapping

# Each line: the name, two blanks, the sentence; a unit stands at its end in brackets.
_TEXT = """
bdf  PCI function: bus, device and function, with the segment where it is printed.
device  Address of the function's `struct pci_dev`.
vdev  Address of VFIO's `struct vfio_pci_core_device`.
entity  Number of the device that the pointers belong to (`devices.entity`), unique in a case.
request  The SET_IRQS that it belongs to (`calls.id`); null outside of one.
hint  Whether the function's name is a guess.
inferred  Whether the result is not recorded and follows from the calls around.
irq  Linux irq number.
pirq  Number by which a Xen domain knows an interrupt.
ret  What was returned; an errno where it is negative.
err  The errno.
driver  Driver that speaks, as printed before the device.
function  Function of the kernel, QEMU or Xen that speaks, where the line names it.
interface  Network interface of the device.
queue  Number of the queue.
cpu  Number of the CPU.
vcpu  Number of the virtual CPU.
vcpu_name  The virtual CPU that was running when Xen printed the line: d1v0.
where  Place in the source code that the line names.
code_line  Line of the source code that the line names.
pid  Process id that the line names.
pid_no  Process id that the line names.
domid  Xen domain.
guest_bdf  The function's address in the guest.
gsi  Global system interrupt.
pin  Pin of a line interrupt.
port  Event channel.
entry  Entry of the MSI-X table.
reason  Reason, as printed.
release  Release, as printed.
text  The rest of the line.
rest  The rest of the line.
tail  The rest of the line.
what  The rest of the message: what it is about.
module  Kernel module.
domain  Name of the irq domain.
hwirq  Number of the interrupt in its domain.
chip  Name of the irq chip.
vec  Interrupt vector in the guest.
gvec  Interrupt vector in the guest.
dst  Destination APIC id.
delivery  Delivery mode and trigger, as printed.
asked  Vectors that the driver asked for.
granted  Vectors that the driver got.
x  `-X` where it is MSI-X, null where it is MSI.
probe  Event name of the probe.
caller_module  Kernel module of the caller.
indent  Blanks before the text: the depth of the call.
data  Data word of an MSI message.
iommu  Number of the IOMMU.
vf  Virtual function.
group  IOMMU group.
"""


def _entry(line: str) -> tuple[str, tuple[str, str]]:
    name, _, told = line.partition("  ")
    sentence, _, unit = told.partition(" [")
    return name, (sentence, unit.removesuffix("]"))


GLOSSARY: Mapping[str, tuple[str, str]] = dict(map(_entry, _TEXT.strip().splitlines()))  # name -> sentence, unit
