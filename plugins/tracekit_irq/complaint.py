"""What one sentence of a driver says about vectors that it did not get."""

import errno as names
import re
from dataclasses import dataclass

MSI = r"(?:MSI(?:-?X)?|msi(?:-?x)?|MSIx)s?"
# `ret:-28`, `(-28)`, `3/-28`, `-ENOSPC`, `errno: 28`, `fffffffb`
ERRNO = re.compile(
    r"(?<![\w.\-])-(?P<number>[0-9]{1,3})(?!\w|\.[0-9])|(?<![A-Za-z_])-?(?P<name>E[A-Z][A-Z0-9_]{2,12})\b"
    r"|\b(?:errno|err|error|ret|rc|code|status)[ :=(]+(?P<plain>[0-9]{1,3})\b|\bf{6}(?P<byte>[0-9a-f]{2})\b"
)
WORDS = {
    "No space left on device": names.ENOSPC,
    "Device or resource busy": names.EBUSY,
    "Invalid argument": names.EINVAL,
    "Cannot allocate memory": names.ENOMEM,
    "Numerical result out of range": names.ERANGE,
    "Operation not permitted": names.EPERM,
}
KERNEL_ONLY = {"EPROBE_DEFER": 517, "ENOTSUPP": 524}
# Memory was short, or the driver will be asked again: no refusal of vectors.
OTHER_TROUBLE = (names.ENOMEM, 517)
# What belongs to MSI or to irqs and is no vector: `failed to get msi parent`, `Failed to allocate MSI address`, `failed to initialize
# interrupt controller`. Not `No MSI-X capability: -22`.
OTHER_PART = re.compile(
    rf"(?<!\bno ){MSI}"
    r"[ -](?:address|page|doorbell|window|(?:irq )?domain|parent|controller|memory|bitmap|data|region|node|property|target|frame"
    r"|cookie|mask|message|capability|table|bar|handler|service|update|package|plugin|laptop)s?\b"
    r"|\b(?:irq|interrupt)[ -]?(?:controller|chip|domain|moderation|coalescing|throttling|polarity|type|work|thread|map|wake(?:up)?"
    r"|stat|statistic|status|status reg(?:ister)?|cause|reason|mask|reg(?:ister)?|affinity)(?:s|es)?\b"
    r"|\bwake(?:up)?[ -](?:irq|interrupt)s?\b",
    re.IGNORECASE,
)
# `falling back to legacy interrupts`, `trying MSI`, `use line based`, `attempting to redistribute`
FALLS_BACK = re.compile(
    r"f(?:all|ell)(?:s|ing)?[ -]?back|\b(?:mov|switch)ing to\b|\binstead\b|\b(?:us(?:e|ing)|try(?:ing)?) (?:a |an |one )?"
    r"(?:single|shared?|legacy|line|intx|msi|poll|wired|pin|fewer|less)|\bback to\b|\b(?:less|fewer) (?:msi\S* )?vectors"
    r"|reduc(?:e|ing) the number|redistribut|[,;:] (?:is )?poll(?:ed|ing)\b",
    re.IGNORECASE,
)
# `fallback to MSI`: the kind of interrupt that a driver uses, with no word of what was refused.
CHOICE = re.compile(
    r"^(?:will )?f(?:all|ell)(?:s|ing)?[ -]?back (?:to|on) (?:a |one |single )*MSI(?: interrupts?| mode| vectors?)?[.!]?$", re.IGNORECASE
)
# Without an errno a sentence complains by one of these; `irq-msi-2022-01-13` is a date.
REFUSAL = re.compile(
    r"fail|unable|can ?not|can't|could|error|refus|not\b|\bno\b|\bout of\b|insufficient|\bonly\b|few|less\b|lower|back|unavail|unusable",
    re.IGNORECASE,
)
# `VFs`, `vf`; not `VFS: Mounted root`
OF_VFS = re.compile(r"\b(?-i:V[Ff]s?|vfs?)\b|\bSR-?IOV\b|\bvirtual functions?\b", re.IGNORECASE)
# `insufficient irq vectors ok`: said to be no fault
HARMLESS = re.compile(r"\b(?:vectors?|interrupts?|irqs?|MSI(?:-?X)?) (?:is |are )?(?:ok(?:ay)?|fine|harmless|no problem)\b", re.IGNORECASE)
# A parameter as it is set, no error: `no of cores: 64, max_msix_vectors: -1`
SETTING = re.compile(r"\bmax\w*: ?-1\b", re.IGNORECASE)
# `Couldn't register serial port d050, irq 17, type 0, error -28`: what is refused is the port, of which there are as many as
# `8250.nr_uarts` says; its irq is told beside it.
PORT = re.compile(r"\b(?:regist\w+|add\w*|creat\w+|alloc\w*) (?:[a-z]\w* ){0,2}port\b(?! (?:irq|interrupt|msi))", re.IGNORECASE)
# What a probe recorded, whose name stands where a driver's does: `r_msix: (f+0xad/0x110 <- __pci_enable_msix_range) ret=-34`
PROBED = re.compile(r"^\((?:[\w.]+\+0x[0-9a-f]+/0x[0-9a-f]+|(?:0x)?[0-9a-f]{8,16})(?: \[\w+\])?(?: <- |\))")
OTHERS = (OTHER_PART, SETTING, CHOICE, HARMLESS, PORT, PROBED)
LONGEST = 500  # characters of a sentence: on runs of its words an expression takes more than linear time
# `request_irq for queue 3`, `request MSI irq 45`; not `request irq vectors`, which allocates them
REQUESTS = re.compile(r"(?:request|regist(?:er|ration))\w*[ _](?:[\w#/-]+ ){0,2}?(?:of )?(?:irqs?|interrupts?)\b(?! vector)", re.IGNORECASE)
# `unable to allocate interrupt 90`, `IRQ enablement failed`: an irq, and no word of MSI or of vectors
IRQ_ALONE = re.compile(r"^(?!.*(?:MSI|vector)).*\b(?:irqs?|interrupts?)\b", re.IGNORECASE)
# `Requested 5 MSI-X vectors, received 2`, `Only 4 MSI-X interrupts available`, `only got 4 of 9 vectors`, `less vectors (9 out of 17)`
GRANTED = re.compile(
    r"(?:request(?:ed)?|asked for|wanted) (?P<wanted>[0-9]+) [^.,;:]{1,40}[,;:]? (?:but )?(?:only )?"
    r"(?:received|got|obtained|granted|allocated) (?:only )?(?P<received>[0-9]+)"
    r"|\bonly(?: got)? (?P<granted>[0-9]+)(?: (?:out )?of (?P<asked>[0-9]+))?|\((?P<part>[0-9]+) out of (?P<whole>[0-9]+)\)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What was refused (`vectors` when they are allocated, `irq` when one is requested), with what error, and what remains."""

    what: str
    errno: int | None
    asked: int | None
    granted: int | None
    falls_back: bool
    of_vfs: bool


def read(text: str) -> Complaint | None:
    """Return the complaint in a driver's sentence, or None where it is about something else than vectors."""
    text = text[:LONGEST]
    error = errno_of(text)
    left = GRANTED.search(text)
    granted, asked = _numbers(left) if left else (None, None)
    fewer = granted is not None and asked is not None and granted < asked
    if error in OTHER_TROUBLE or error is None and not fewer and not REFUSAL.search(text) or any(other.search(text) for other in OTHERS):
        return None
    return Complaint(
        "irq" if REQUESTS.search(text) or IRQ_ALONE.search(text) else "vectors",
        -error if error is not None else None,
        asked,
        granted,
        FALLS_BACK.search(text) is not None,
        OF_VFS.search(text) is not None,
    )


def errno_of(text: str) -> int | None:
    """Return the errno in any of its spellings, as a positive number."""
    for found in ERRNO.finditer(text):
        number = _errno(found)
        if number is not None and 0 < number < 600:
            return number
    return next((number for words, number in WORDS.items() if words in text), None)


def _errno(found: re.Match[str]) -> int | None:
    if found["name"]:
        return KERNEL_ONLY.get(found["name"]) or getattr(names, found["name"], None)
    if found["byte"]:
        return 256 - int(found["byte"], 16)
    return int(found["number"] or found["plain"])


def _numbers(left: re.Match[str]) -> tuple[int | None, int | None]:
    granted, asked = left["granted"] or left["part"] or left["received"], left["asked"] or left["whole"] or left["wanted"]
    return int(granted) if granted else None, int(asked) if asked else None
