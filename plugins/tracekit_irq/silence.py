"""What one sentence of a driver says about an interrupt that did not come."""

import re

LONGEST = 500  # characters of a sentence: on runs of its words an expression takes more than linear time
# `timeout, completion polled`, `timed out but was already complete`, `recovered after timeout`: the work was done
FOUND = re.compile(
    r"(?:time(?:d )?[ -]?out|expired).*(?:polled|poll|completion|complete)"
    r"|\b(?:recovered|completed|found) after .*time ?out|\brecovered [0-9]",
    re.IGNORECASE,
)
# `sent a completion but the driver didn't receive a MSI-X interrupt`
DONE_UNTOLD = re.compile(r"(?:sent|posted|received|completed|complete)\b.*\b(?:but|without)\b.*(?:interrupt|MSI|IRQ)", re.IGNORECASE)
# `timed out, no completion found`: nothing was done
NOTHING = re.compile(r"\b(?:no|without)\b (?:\w+ ){0,2}completions?\b|\bnot (?:yet )?complete", re.IGNORECASE)
# `recovered 0 missed interrupts`, `no interrupts lost`, `no missed interrupts`: none was missed
NONE_MISSED = re.compile(
    r"\b(?:no|0|zero|without)\b (?:\w+ ){0,2}(?:missed|missing|lost)\b|\brecovered 0\b|\bnot an error\b", re.IGNORECASE
)
# What follows the words of a loss: `lost interrupts: 0`, `missed irq kicks: 0x0`, `interrupts lost = none`, `missed 0 interrupts`. The
# number of a queue, vector or register is no count: `lost interrupt on queue: 0`.
_LOSS = (
    r"\b(?:(?:missed|missing|lost) (?:MSI(?:-?X)?|interrupt|irq)s?|(?:MSI(?:-?X)?|interrupt|irq)s? (?:missed|lost|(?:not|never) [a-z]+))"
)
_PLACES = r"(?:on|for|of|from|at|in|by|status|queue|ring|vector|channel|[cew]q|irq|cpu|port|code|ret|error)\b"
ZERO = re.compile(
    rf"{_LOSS}(?: (?!{_PLACES})[a-z]+){{0,3}}(?: ?[:=] ?(?:0x)?0+(?![\w.])|[ :=]+(?:none|nil|never)\b)"
    r"|\b(?:missed|missing|lost) (?:(?:interrupt|irq)s (?:0x)?0+|0|no|zero|none)(?![\w.])|\b(?:interrupt|irq)s (?:missed|lost) 0(?![\w.])",
    re.IGNORECASE,
)
# An option or a facility: `lost interrupt workaround enabled`, `Potential MSIX issue check disabled`
OPTION = re.compile(
    rf"(?:{_LOSS}|\bMSI(?:-?X)? (?:issue|problem|loss))(?: (?!but|so|and|while|when)[\w-]+){{0,3}} "
    r"(?:is |are |not )?(?:enabled?|disabled?|supported|unsupported|on|off|active|inactive|registered|installed)\W*$",
    re.IGNORECASE,
)
# What an interrupt stands for, or what of an interrupt is not there: `arbitration lost interrupt`, `vblank interrupt lost`, `missing
# interrupt property`. The device, its driver or a part of it may lose an interrupt, other things are lost themselves.
OTHER_NOUN = re.compile(
    r"\b(?!(?:has|have|had|a|an|the|one|some|its|possible|possibly|potential|detected|found|recovered|handling|of|for|to|after|with|by|on|and"
    r"|device|adapter|controller|driver|queue|ring|channel|vector|port|card|host|hba|nic|gpu|engine|command|we|it|probably|maybe|suspected"
    r"|due|from|error|warning|msi|msix|tx|rx|admin|completion|cmd|timeout|were|was|is|are)\b)[a-z]+[ _-]lost (?:interrupt|irq)\b"
    r"|\b(?:v-?blank|v-?sync|page ?flip|p?flip|hpd|hot-?plug|pps|rtc|tick|wake-?up|thermal|link)[ _-](?:interrupt|irq)s? "
    r"(?:was |were )?(?:lost|missed)"
    r"|\bmissing (?:MSI(?:-?X)?|interrupt|irq)s? (?:resource|property|properties|entry|cells?|parent|controller|domain|map|mapping|name"
    r"|line|number|handler|routing|flags?|support|capability|pin|trigger|config\w*|info\w*|table|spec\w*|descriptor|assignment|definition)\b",
    re.IGNORECASE,
)
ANNOUNCED = re.compile(r"(?:polling|poll for it|will poll|trying to poll) ?\.*$", re.IGNORECASE)
HEDGED = re.compile(r"\b(?:potential|possibl[ey]|probabl[ey]|maybe|perhaps|suspected|might|may)\b|\?", re.IGNORECASE)
MSI = re.compile(r"\bMSI(?:-?X)?\b", re.IGNORECASE)
TESTED = re.compile(
    r"\b(?:MSI(?:-?X)?|interrupt|irq)s?(?:[ -]\w+)? (?:self[ -]?)?tests?\b|\b(?:interrupt|irq)s? not detected\b", re.IGNORECASE
)
# `no interrupt test failed`, `interrupt test failed 0 times`
PASSED = re.compile(r"\b(?:no|0|none|never)\b (?:\w+ ){0,3}tests?\b|\bfailed:? (?:0|none)\b", re.IGNORECASE)
# `Queue = 6`, `QID 3`, `on ring sdma0`, `queue_id: 4`
QUEUE = re.compile(
    r"\b(?:queue|qid|ring|cq|eq|channel)(?:[_ ](?:id|idx|index))?(?: ?[=:#] ?| )(?P<queue>[a-z]*[0-9](?:[a-z0-9_.]*[a-z0-9])?|gfx\w*)",
    re.IGNORECASE,
)


def kind(text: str) -> str | None:
    """Return `found`: work that was done without an interrupt; `announced`: a poll begins; `test`: its test saw none;
    `hedged`: the driver guesses; `msi`, `irq`: it says that one was missed; None: nothing was done or lost."""
    text = text[:LONGEST]
    if any(other.search(text) for other in (NOTHING, NONE_MISSED, ZERO, OPTION, OTHER_NOUN)):
        return None
    if TESTED.search(text):
        return None if PASSED.search(text) else "test"
    if ANNOUNCED.search(text):
        return "announced"
    if HEDGED.search(text):
        return "hedged"
    if FOUND.search(text) or DONE_UNTOLD.search(text):
        return "found"
    return "msi" if MSI.search(text) else "irq"


def queue(text: str) -> str | None:
    """Return the queue or ring that the sentence names."""
    found = QUEUE.search(text)
    return found["queue"] if found else None
