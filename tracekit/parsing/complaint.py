"""Complaints: lines that speak of interrupts, their setting up or what carries them, with the words of a fault."""

import re

import polars as pl

# pci 0000:01:00.0: failed to allocate 8 MSI-X vectors: -28;  Event logged [IO_PAGE_FAULT domain=0x000c]
# Words end where letters do: `EDAC DEBUG:` is no `BUG:`, `default` no fault; `IO_PAGE_FAULT` is one.
_FAULT = (
    r"fail(?:ed|s|ure|ures|ing)?|errors?|err|err(?:no)? ?[=:] ?-?\d+|can ?not|can[\u2019']t|could not|couldn[\u2019']t|unable|"
    r"timeouts?|timed ?out|faults?|refus(?:ed|es|ing|al)|reject(?:ed|s|ing)?|denied|invalid|illegal|missed|lost|stuck|stalled|hung|"
    r"exhausted|no space|not enough|out of|insufficient|too (?:many|few)|nobody cared|spurious|stray|unexpected|unhandled|"
    r"overflow(?:ed)?|aborted|panic|oops|bad"
)
_SUBJECT = (
    r"msi|msi-?x|msis|irqs?|irqfds?|intx|gsi|pirqs?|evtchn|event channels?|interrupts?|(?:irq )?vectors?|"
    r"irte|remap(?:ping|ped)?|dmar?|dmar:.*|amd-vi|vt-d|iommu|smmu|smmu-?v3|gic|gicv\d|its|apic|x2apic|lapic|io_page_fault|vfio|vfio-pci"
)
_HEAVY = r"msi|msi-?x|irqs?|interrupts?|vectors?|pirqs?|irte|vfio|panic|io_page_fault"
# What drivers and firmware print at every boot: optional facilities, and counts of what went well.
#   AMD-Vi: Unable to read/write to IOMMU perf counter.
#   spurious 8259A interrupt: IRQ7.
#   Kernel command line: root=/dev/nvme0n1p2 panic=10 iommu=pt
_ORDINARY = (
    r"perf(?:ormance)? counter|not a bug|functionality not available|error (?:source|interrupts?|reporting)|"
    r"\b(?:no|0|without) (?:errors?|failures?|faults?)|fault handling|(?:lost|spurious) ticks|end kernel panic|"
    r"spurious (?:lapic|8259a|native)|debug interrupt\?|resource region|command[ -]line|^> |\bpanic=|"
    r"unknown symbol|^ *spu:"
)
_FAULTY = f"(?i)(?:^|[^A-Za-z])(?:{_FAULT})(?:$|[^A-Za-z])"
_ABOUT = f"(?i)(?:^|[^A-Za-z])(?:{_SUBJECT})(?:$|[^A-Za-z_])"
_QUIET = f"(?i){_ORDINARY}"
_WORDS = re.compile(f"(?i)(?<![A-Za-z])(?:{_FAULT}|{_HEAVY})(?![A-Za-z])")


def complaints(texts: pl.Series) -> pl.Series:
    """Return which texts complain."""
    named = texts.str.contains(_ABOUT)
    if not named.any():
        return named
    return named & texts.str.contains(_FAULTY) & ~texts.str.contains(_QUIET)


def weight(text: str) -> int:
    """Return how much a line looks like a fault: how many different words of one it has."""
    return len({m[0].lower() for m in _WORDS.finditer(text)})
