"""Support bundles: which of their files are logs, whose they are, and which are one log that was rotated.

Known layouts: sosreport (`sos_commands/`, `var/log/`), supportconfig (`messages.txt`, `hardware.txt`), xen-bugtool (`*.out`, `var/log/`)
and must-gather (`nodes/NAME/`, `host_service_logs/`). A bundle holds thousands of files that are no logs (package lists, configuration,
manual pages that quote log lines); of any other folder or archive every text file is taken.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

_BUNDLE = re.compile(
    r"(^|[/!])(sosreport-|sos-collector-|scc_|nts_|bug-report-|xen-bugtool|must-gather|inspect\.local)"
    r"|(^|[/!])(sos_commands|sos_logs|sos_reports|cluster-scoped-resources|host_service_logs)/"
)
# A bundle that is still packed, by its name.
_PACKED = re.compile(
    r"(^|[/!])(sosreport-|sos-collector-|scc_|nts_|bug-report-|xen-bugtool|must-gather|inspect\.local)[^/!]*"
    r"\.(tar|tgz|tbz2?|txz|tzst|zip)(\.(gz|xz|bz2|zst))?(\.gpg)?$"
)
_LOG = re.compile(
    r"(^|[/!])(messages|syslog|kern\.?log|kernel|dmesg|journal|boot[.-]|warn|daemon\.log|console|serial|hypervisor|"
    r"xl[-_. ]|xm[-_. ]|xen[-_.]|xenserver|qemu|libvirt|libxl|lspci|interrupts|cmdline|proc_cmdline|uname|sysinfo|"
    r"hardware\.txt|basic-environment\.txt|kvm\.txt|virtualization\.txt|crash\.txt|trace|ftrace|kprobe|kallsyms)[^/!]*$"
    r"|[/!](libvirt/(qemu|libxl)|log/xen|log/libvirt|tracing|sos_commands/(xen|kvm))/[^!]*$"
    r"|(^|[/!])proc/version$|[/!]host_service_logs/[^!]*\.log"
)
_NO_LOG = re.compile(
    r"\.(md|rst|html?|css|js|py|pyc|c|h|o|so|ko|rpm|deb|png|jpe?g|gif|svg|pdf|xml|xsl|yaml|yml|toml|conf|cfg|ini|service|rules|"
    r"sqlite|db|pem|crt|key|pub|repo|list|desktop|lark|sh|pl|rb|go|rs|patch|diff|ipynb|parquet)$|(^|[/!])(README|LICENSE|COPYING)[^/!]*$",
    re.I,
)
_ROTATED = re.compile(
    r"^(?P<stem>.+?)(?P<part>[-.][0-9]{8}(?:[-T]?[0-9]{2,6})?|\.[0-9]{1,3}|\.old|\.prev(?:ious)?)?(?P<packed>\.(?:gz|xz|bz2|zst))?$"
)
_NODE = re.compile(r"(?:^|[/!])nodes/([^/!]+)/")
_SOS = re.compile(r"(?:^|[/!])(?:sosreport|scc|nts)[-_](?P<host>[A-Za-z0-9.-]*?[A-Za-z][A-Za-z0-9.]*?)[-_.][^/!]*!")
_MONTHS = {m: i + 1 for i, m in enumerate(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"])}
_ISO = re.compile(r"^(?:<[0-9]+>1? ?)?([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})", re.M)
_SYSLOG = re.compile(r"^(?:<[0-9]+>)?(" + "|".join(_MONTHS) + r") ([ 0-9][0-9]) ([0-9]{2}:[0-9]{2}:[0-9]{2})", re.M)
_CTIME = re.compile(
    r"^(?:<[0-9]+>)?\[[A-Z][a-z]{2} (" + "|".join(_MONTHS) + r") ([ 0-9][0-9]) ([0-9]{2}:[0-9]{2}:[0-9]{2}) ([0-9]{4})\]", re.M
)
_SINCE_BOOT = re.compile(r"^(?:<[0-9]+>)?\[ *([0-9]+\.[0-9]+)\]", re.M)


class Log(NamedTuple):
    """A file before it is parsed: its path, its first bytes as text, when it was last written (s, 0 if unknown)."""

    path: str
    head: str
    mtime: int


def is_log(name: str) -> bool:
    """Return whether a file of a folder or archive may be a log, by its name and path."""
    if _BUNDLE.search(name):
        return bool(_LOG.search(name) or _PACKED.search(name) or any(map(_of_a_launcher, name.split("!"))))
    return not _NO_LOG.search(name)


def _of_a_launcher(name: str) -> bool:
    """Return whether it is `virt-launcher-.../logs/...log`."""
    _, found, behind = name.partition("virt-launcher")
    return bool(found) and ".log" in behind.partition("/logs/")[2]


def machine(name: str) -> str:
    """Return the machine of a file where its path names one: `nodes/NAME/..` of a must-gather, a sosreport inside another archive."""
    found = _NODE.findall(name) or [m["host"] for m in _SOS.finditer(name)]
    return found[-1] if found else ""


def machines(names: Iterable[str]) -> dict[str, str]:
    """Return the machine of each file where the files are of several machines; nothing where they are of one."""
    found = {n: machine(n) for n in names}
    return {n: m for n, m in found.items() if m} if len({m for m in found.values() if m}) > 1 else {}


def series(logs: Iterable[Log]) -> list[list[Log]]:
    """Return the parts of each rotated log, the oldest first; logs that were not rotated are left out."""
    families: dict[str, list[Log]] = {}
    for log in logs:
        families.setdefault(stem(log.path), []).append(log)
    return [_ordered(parts) for name, parts in families.items() if len(parts) > 1 and _may_rotate(name, parts)]


def _may_rotate(name: str, parts: Iterable[Log]) -> bool:
    """Return whether numbered files can be one rotated log: `host.1` and `host.2` are two hosts unless `host` exists or is a log's name."""
    return bool(_LOG.search(name)) or name.endswith((".log", ".txt", ".out", ".msg")) or any(p.path == name for p in parts)


def stem(path: str) -> str:
    """Return the path without what rotation adds: `messages-20261101.xz` and `messages.2.gz` are `messages`."""
    folder, base = re.fullmatch(r"(.*[/!])?([^/!]*)", path, re.S).groups()  # type: ignore[union-attr]
    m = _ROTATED.match(base)
    return (folder or "") + (m["stem"] if m else base)


def short(paths: Iterable[str]) -> list[str]:
    """Return the names of files, with their folders where several have one name."""
    whole = [re.split("[/!]", path) for path in paths]
    return ["/".join(parts[-1:] if len({p[-1] for p in whole}) == len(whole) else parts[-2:]) for parts in whole]


def first_stamp(text: str, mtime: int) -> float | None:
    """Return the first wall-clock stamp of a log in s since 1970, taken as UTC; syslog's gets the last year that is not after `mtime`."""
    iso, plain = _ISO.search(text), _SYSLOG.search(text)
    if full := _CTIME.search(text):
        return _seconds(f"{full[4]}-{_MONTHS[full[1]]:02}-{int(full[2]):02}T{full[3]}")
    if iso and (not plain or iso.start() <= plain.start()):
        return _seconds(f"{iso[1]}T{iso[2]}")
    if not plain:
        return None
    month, day = _MONTHS[plain[1]], int(plain[2])
    last = datetime.fromtimestamp(mtime + 86_400, UTC) if mtime else datetime(2000, 12, 31, tzinfo=UTC)
    return _seconds(f"{last.year - ((month, day) > (last.month, last.day))}-{month:02}-{day:02}T{plain[3]}")


def _seconds(iso: str) -> float | None:
    try:
        return datetime.fromisoformat(iso).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _ordered(parts: list[Log]) -> list[Log]:
    """Sort logs by their first wall-clock stamps, else by their first stamps since boot if these differ, else by their rotated names."""
    by_name = sorted(parts, key=_age, reverse=True)
    for stamps in ([first_stamp(p.head, p.mtime) for p in by_name], [_since_boot(p.head) for p in by_name]):
        known = [s for s in stamps if s is not None]
        if len(known) == len(parts) and len(set(known)) == len(parts):
            order = sorted(range(len(parts)), key=lambda i: known[i])
            return [by_name[i] for i in order]
    return by_name


def _since_boot(text: str) -> float | None:
    m = _SINCE_BOOT.search(text)
    return float(m[1]) if m and float(m[1]) else None


def _age(log: Log) -> tuple[int, int]:
    """Return a sort key that is larger for an older log: numbers rise with age, dates fall; a name with neither is the newest."""
    m = _ROTATED.match(re.split(r"[/!]", log.path)[-1])
    part = m["part"] if m else None
    digits = re.sub(r"\D", "", part or "")
    if not part:
        return -1, 0
    return (int(digits or 1), 0) if len(digits) <= 3 else (0, -int(digits.ljust(14, "0")))
