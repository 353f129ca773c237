"""Choose the wrapper of a source, which turns its physical lines into logical ones. Ordinary files have none."""

import re
from collections.abc import Callable

from tracekit.parsing.logical import Logical, Wrapper
from tracekit.parsing.mail import Mail, cut_at, is_padded, is_printable, is_wrapped, quoted_by
from tracekit.parsing.records import GLUED, KMSG, Journal, Json, Kmsg, Wire
from tracekit.parsing.strings import Strings, texts_in

__all__ = ["Logical", "Wrapper", "detect"]

_KEYS = "MESSAGE|[Mm]essage|@message|msg|log|line|text|body|short_message|textPayload|_raw|__CURSOR|_BOOT_ID"
_JSON_LINE = re.compile(rf'\s*(?:data: |\x1e|- )?\{{.*"(?:{_KEYS})"\s*:')
_JSON_FIELD = re.compile(r'\s*"(?:MESSAGE|__CURSOR|_BOOT_ID|__REALTIME_TIMESTAMP|msg|dmesg)"\s*:')
_JSON_NAME = re.compile(rf'"(?:{_KEYS}|__REALTIME_TIMESTAMP|dmesg)"')  # these are found at once, or nothing need be tried
_JOURNAL_NAME = re.compile("_(?:_CURSOR|_REALTIME_TIMESTAMP|BOOT_ID|MACHINE_ID)=")
_KMSG_FLAGS = re.compile(",[-c+][,;]")
_JOURNAL_FIELD = re.compile(r"(?:    )?(?:__CURSOR|__REALTIME_TIMESTAMP|_BOOT_ID|_MACHINE_ID)=")


def detect(sample: list[str], reads: Callable[[str], bool] | None = None) -> Wrapper | None:
    """Return the wrapper that the first lines of a source need, or None; `reads` knows the text of an event."""
    written = [line for line in sample if line.strip()]
    if not written:
        return None

    whole = "\n".join(written)

    def share(pattern: re.Pattern[str], least: float) -> bool:
        return len(list(filter(None, map(pattern.match, written)))) >= max(least * len(written), 1)

    if any(map(texts_in, written)):
        return Strings()
    if _JSON_NAME.search(whole) and (
        share(_JSON_LINE, 0.3) or (share(_JSON_FIELD, 0.02) and any(line.lstrip("\x1e ").startswith(("{", "data: {")) for line in written))
    ):
        return Json()
    if _JOURNAL_NAME.search(whole) and share(_JOURNAL_FIELD, 0.03) and not share(re.compile(r"\S+ \S+ \S+ \S+"), 0.5):
        return Journal()
    if _KMSG_FLAGS.search(whole) and share(KMSG, 0.1):
        return Kmsg()
    if any(line.count("<") > 1 and len(GLUED.findall(line)) > 1 for line in written):
        return Wire()
    return _mail(written, reads)


def _mail(written: list[str], reads: Callable[[str], bool] | None) -> Wrapper | None:
    if columns := cut_at(written):
        return Mail(columns=columns, reads=reads)
    quote, printable = quoted_by(written), is_printable(written)
    wrapped = bool(quote) or printable or is_wrapped(written, quote)
    return Mail(quote, printable, wrapped, reads=reads) if quote or printable or wrapped or is_padded(written) else None
