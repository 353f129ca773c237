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
ANNOUNCED = re.compile(r"(?:polling|poll for it|will poll|trying to poll) ?\.*$", re.IGNORECASE)
HEDGED = re.compile(r"\b(?:potential|possibl[ey]|probabl[ey]|maybe|perhaps|suspected|might|may)\b|\?", re.IGNORECASE)
MSI = re.compile(r"\bMSI(?:-?X)?\b", re.IGNORECASE)
# `Queue = 6`, `QID 3`, `on ring sdma0`, `queue_id: 4`
QUEUE = re.compile(
    r"\b(?:queue|qid|ring|cq|eq|channel)(?:[_ ](?:id|idx|index))?(?: ?[=:#] ?| )(?P<queue>[a-z]*[0-9](?:[a-z0-9_.]*[a-z0-9])?|gfx\w*)",
    re.IGNORECASE,
)


def kind(text: str) -> str | None:
    """Return `found`: work that was done without an interrupt; `announced`: a poll begins;
    `hedged`: the driver guesses; `msi`, `irq`: it says that one was missed; None: nothing was done, so that no interrupt is missing."""
    text = text[:LONGEST]
    if NOTHING.search(text) or NONE_MISSED.search(text):
        return None
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
