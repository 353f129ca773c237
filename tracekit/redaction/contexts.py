"""Names that are recognized by the words around them: hosts, users and virtual machines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tracekit.redaction.search import sign

_Q = r"\\{0,3}[\"']"


@dataclass(frozen=True)
class Context:
    """The words around a name: the kind of name, and an expression whose groups hold names."""

    kind: str
    expression: re.Pattern[str]

    @property
    def sign(self) -> str:
        """Return what polars finds the lines by that may name one."""
        return sign(self.expression)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield the places of the names in a text."""
        for m in self.expression.finditer(text):
            yield from (m.span(i) for i in range(1, (self.expression.groups or 0) + 1) if m[i])


def _of(kind: str, *expressions: str) -> tuple[Context, ...]:
    return tuple(Context(kind, re.compile(e)) for e in expressions)


CONTEXTS: tuple[Context, ...] = (
    *_of(
        "host",
        # systemd[1]: Hostname set to <node17>.
        r"[Hh]ostname set to <([^>\s]+)>",
        # "_HOSTNAME":"node17", "host":{"name":"node17"}
        rf"{_Q}(?:_HOSTNAME|HOSTNAME|[Hh]ost_?[Nn]ame|host|[Nn]ode_?[Nn]ame|node|computer|host\.name){_Q}"
        rf" ?: ?(?:\{{ ?{_Q}name{_Q} ?: ?)?{_Q}([\w.-]+)",
        # _HOSTNAME=node17, hostname: node17, Static hostname: node17
        r"(?i)host ?name(?: ?[=:] ?| is | to )[\"'<]?([a-z0-9][\w.-]*\w)",
        r"(?i)\b(?:nodename|host_name|utsname)[=: ]+[\"'<]?([a-z0-9][\w.-]*\w)",
        # Linux node17 6.1.0-18-amd64 #1 SMP
        r"(?m)^(?:[^\n]{0,60} )?Linux ([A-Za-z0-9][\w.-]*) [2-9]\.[0-9]+\.[0-9][^\n]{0,200} #[0-9]",
        # [root@node17 ~]#, alice@node17:~$
        r"(?m)(?:^|[\s\[])[a-z_][\w-]*@([A-Za-z0-9][\w.-]*)(?::[~/]| ~| /)[^\n]{0,60}[$#](?: |\]|$)",
        # ssh alice@node17
        r"\b(?:ssh|scp|rsync|sftp)\b[^\n]{0,80}? (?:[a-z_][\w-]*@)([A-Za-z0-9][\w.-]*\w)",
        # (alice@builder17) behind `Linux version 6.1.0`
        r"Linux version [^\s(]+ \([^\s@)]+@(?![\w.-]*debian\.org)([\w.-]+)\)",
        # rhost=node17, from host node17
        r"\brhost=([A-Za-z][\w.-]*\w)",
        r"\b(?:from|to) host [\"'<]?([A-Za-z0-9][\w.-]*\w)",
    ),
    *_of(
        "host",
        # sosreport-node17-0391-2026-11-20-abcdefg.tar.xz, nodes/node17/dmesg
        r"\b(?:sosreport|scc|nts)[-_]([A-Za-z0-9.-]{0,60}?[A-Za-z][A-Za-z0-9.]{0,60}?)[-_.]",
        r"\bnodes/([A-Za-z0-9][\w.-]*)/",
    ),
    *_of(
        "user",
        r"/(?:home|Users)/([^\s/'\"<>,;:)\]}|]+)",
        # Accepted publickey for alice from, Failed password for invalid user bob from
        r"\b(?:Accepted|Failed) \S+ for (?:invalid user )?([A-Za-z_][\w.-]*\$?) from ",
        r"\b(?:[Ii]nvalid|illegal) user ([A-Za-z_][\w.-]*)",
        # session opened for user alice(uid=1000) by bob(uid=0), New session 3 of user alice.
        r"\b(?:for|of|by|from|as|authenticating) user [\"']?([A-Za-z_](?:[\w.-]*\w)?)",
        r"\b(?:for user|session (?:opened|closed) for user) \S+ by ([A-Za-z_][\w.-]*)\(",
        # user=alice, USER=root, acct="alice", "user":"alice"
        r"(?<![A-Za-z])(?:USER|user|LOGNAME|logname|acct|ruser|euser|username|owner)=[\"']?([A-Za-z_](?:[\w.-]*\w)?)",
        rf"{_Q}(?:user|username|user_name|login){_Q} ?: ?{_Q}([A-Za-z_][\w.-]*)",
        # uid=1000(alice)
        r"\b[ug]id=[0-9]+\(([A-Za-z_][\w.-]*)\)",
        # sudo:    alice : TTY=pts/0 ; sudo[12]: pam_unix(sudo:session): ..
        r"\bsudo(?:\[[0-9]+\])?: +([A-Za-z_][\w.-]*) : ",
        r"\bsu(?:\[[0-9]+\])?: \(to ([A-Za-z_][\w.-]*)\) ([A-Za-z_][\w.-]*) on ",
        # CRON[12]: (alice) CMD (..)
        r"(?i)\bcron[a-z]*(?:\[[0-9]+\])?: \(([A-Za-z_][\w.-]*)\) ",
        r"(?m)(?:^|[\s\[])([a-z_][\w-]*)@[A-Za-z0-9][\w.-]*(?::[~/]| ~| /)[^\n]{0,60}[$#](?: |\]|$)",
        r"\b(?:ssh|scp|rsync|sftp)\b[^\n]{0,80}? ([a-z_][\w-]*)@[A-Za-z0-9]",
        r"Linux version [^\s(]+ \(([^\s@)]+)@(?![\w.-]*debian\.org)[\w.-]+\)",
        r"/var/(?:spool/cron(?:/crontabs)?|(?:spool/)?mail)/([A-Za-z_][\w.-]*)",
        r"\b[Ss]ession [0-9]+ of [Uu]ser ([A-Za-z_](?:[\w.-]*\w)?)",
    ),
    *_of(
        "vm",
        # -name guest=web01,debug-threads=on
        r"(?<![\w-])-name (?:guest=)?[\"']?([^,\s\"']+)",
        r"\bguest=[\"']?([^,\s\"']+)",
        # domain 'web01', Domain id=3 name='web01', "domain":"web01"
        rf"(?i)\b(?:domain|vm|guest|machine){_Q}?(?: name)?[=: ]+{_Q}([A-Za-z0-9][\w.-]*){_Q}",
        rf"(?i)\bdomain id=[0-9]+ name={_Q}?([A-Za-z0-9][\w.-]*)",
        r"<name>([A-Za-z0-9][\w.-]*)</name>",
        r"(?m)^[ \t]*name[ \t]*=[ \t]*[\"']([^\"'\n]+)[\"']",
        # /var/lib/libvirt/qemu/domain-3-web01/monitor.sock, machine-qemu\x2d3\x2dweb01.scope
        r"/domain-[0-9]+-([A-Za-z0-9][\w.-]*)",
        r"qemu\\+x2d[0-9]+\\+x2d([\w.\\-]{1,250}?)\.scope",
        # /var/log/libvirt/qemu/web01.log, /etc/xen/web01.cfg, /var/lib/libvirt/images/web01.qcow2
        r"/(?:libvirt/(?:qemu|images|lxc|libxl)|xen)/(?:save/|autostart/|nvram/|dump/|auto/|images/|guests?/)?(?:qemu-dm-|xl-|guest-)?([A-Za-z0-9][\w.-]*?)(?:_VARS)?\.(?:xml|log|cfg|qcow2|img|raw|monitor|sock|pid|fd|save|hvm)\b",
        # virsh list: ` 3     web01   running`; xl list: `web01   3  2048  2  -b----  12.3`
        r"(?m)^ *(?:[0-9]+|-) {2,}([A-Za-z0-9][\w.-]*) {2,}(?:running|shut off|paused|idle|crashed)\b",
        r"(?m)^([A-Za-z0-9][\w.-]*) +[0-9]+ +[0-9]+ +[0-9]+ +[rbpscd-]{6} +[0-9.]+",
    ),
)
