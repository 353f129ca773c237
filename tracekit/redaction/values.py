"""Values that are recognized by their shape: MAC and IP addresses, UUIDs, WWNs, serial numbers, domain names, paths below a home.

Each is an expression whose group `v` holds the value (the whole match where there is none), and a check. BDFs, vectors, pirqs, MSI
addresses, times and releases have none of these shapes, or what stands before them tells.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from tracekit.redaction.search import sign
from tracekit.redaction.tokens import TOKEN, Tokens

# A value begins behind no letter or digit, or behind a terminal's colour (`\x1b[32m`), or an escape of JSON (`\n`, `\u001b`).
BEGIN = r"(?:(?<![0-9A-Za-z_])|(?<=[0-9\[;]m)|(?<=\\[nrtbf])|(?<=\\u00[0-9a-f]{2}))"
_HH = "[0-9A-Fa-f]{2}"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IP4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
# What a number of four parts is a release of: `firmware 10.2.470.14`, `Linux version 10.1.2.3`, `qed 8.37.0.20`, `Ver. 1.2.3.4`.
_RELEASED = re.compile(
    r"(?:version|\bver\.?|driver|firmware|\bfw|\bnvm|\bbios|\brev(?:ision)?|release|module|qed|\bbc|\bphy|\bapi|\babi|\bpsid|build|tainted"
    r"|\bddp|package|\bboot|\brom|\bmcu?|\bpkg|emulator|\bxen|\bqemu|modules/|linux)(?: ?is)?[\s:=#\"'(\[/,-]*[vV]?$",
    re.I,
)
_ENDINGS = (
    "com|net|org|edu|gov|mil|int|info|biz|cloud|dev|app|internal|intranet|local|localdomain|lan|corp|home|arpa|private|test|example"
    "|de|uk|fr|nl|ch|at|cz|pl|it|es|se|no|fi|dk|be|eu|us|ca|au|jp|cn|kr|in|br|ru|ua|nz|ie|pt|gr|hu|io|ai"
)
_STAYS = ("0.0.0.0", "127.0.0.1", "255.255.255.255", "::", "::1")  # they name nobody


@dataclass(frozen=True)
class Shape:
    """One shape: the kind of its tokens, its expression, and what else must hold of (match, value)."""

    kind: str
    expression: re.Pattern[str]
    holds: Callable[[re.Match[str], str], bool] = lambda _, __: True
    near: str = ""  # what lines with such a value contain, where the expression itself would find too many or looks around too much

    @property
    def sign(self) -> str:
        """Return what polars finds the lines by that may hold such a value."""
        return self.near or sign(self.expression)

    def replaced(self, text: str, tokens: Tokens) -> str:
        """Return the text with a token for each value of this shape."""
        named = "v" in self.expression.groupindex

        def token(m: re.Match[str]) -> str:
            value = m["v"] if named else m[0]
            if not value or TOKEN.fullmatch(value) or not self.holds(m, value):
                return m[0]
            begin, end = m.span("v") if named else m.span()
            return m[0][: begin - m.start()] + tokens.of(self.kind, value) + m[0][end - m.start() :]

        return self.expression.sub(token, text)


def _is_address(m: re.Match[str], value: str) -> bool:
    """Return whether a number of four parts is an address: no release by its numbers or by the word before it, no mask, nobody's."""
    first, second, third, _ = map(int, value.split("."))
    if first < 10 and second < 26 and third < 10:  # 6.1.0.12: of addresses one in 5,000 is such, of releases most are
        return False
    mask = value.startswith("255.") and value.endswith((".0", ".255", ".128", ".192", ".224", ".240", ".248", ".252", ".254"))
    return not mask and value not in _STAYS and not _RELEASED.search(m.string, max(0, m.start() - 40), m.start())


def _is_ip6(_: re.Match[str], value: str) -> bool:
    """Return whether a text of hex digits and colons is an address: `::` alone and a name of C++ have no digit."""
    if value in _STAYS or not any(c.isdigit() for c in value):
        return False
    try:
        ipaddress.IPv6Address(value)
    except ValueError:
        return False
    return True


def _has_digit(_: re.Match[str], value: str) -> bool:
    return any(c.isdigit() for c in value)


def _named(_: re.Match[str], value: str) -> bool:
    return not re.fullmatch(
        r"(?:on|off|none|true|false|null|n/?a|stdio|pty|tty\w*|mon|file|unix|tcp|udp|chardev\w*|not|to be filled.*)", value, re.I
    )


SHAPES: tuple[Shape, ...] = (
    # /var/home/alice/vm/disk.img, ~/logs/a.txt
    Shape(
        "path",
        re.compile(
            r"(?:/(?:home|Users)/[^\s/'\"<>,;:)\]}|]+|(?<![\w/.-])/root|(?<![\w/])~)/(?P<v>[^\s'\"<>,;:)\]}|]*[^\s'\"<>,;:)\]}|./])"
        ),
    ),
    # /dev/disk/by-id/ata-Samsung_SSD_860_EVO_500GB_S3Z2NB0K123456X
    Shape("serial", re.compile(r"/by-id/(?P<v>[^\s'\",;<>)\]]+)")),
    # iqn.2003-01.org.linux-iscsi.node17:sn.1, nqn.2014-08.org.nvmexpress:uuid:...
    Shape("wwn", re.compile(rf"{BEGIN}(?P<v>(?:iqn|nqn)\.[0-9]{{4}}-[0-9]{{2}}\.[^\s'\",;<>)\]]+)")),
    # wwn-0x5000c500a1b2c3d4, naa.5000c500a1b2c3d4, sas_addr(0x500605b0...), nn-0x20..:pn-0x21.., WWPN 10000090fa0b1c2d
    Shape(
        "wwn",
        re.compile(
            rf"{BEGIN}(?:ww[np]n?|wwid|sas[_ -]?addr(?:ess)?|logical id|naa|eui|nguid|nn|pn)"
            r"[\s:=.(-]{0,3}(?P<v>(?:0x)?[0-9a-f]{16}(?:[0-9a-f]{16})?)(?![0-9a-z])",
            re.I,
        ),
    ),
    # any other 64-bit name of IEEE's: no memory address of any machine is that large
    Shape("wwn", re.compile(rf"{BEGIN}0x5[0-9a-f]{{15}}(?![0-9A-Za-z])")),
    # <serial>S3Z2NB0K123456X</serial>, <entry name='serial'>VMware-42 1d ..</entry>
    Shape("serial", re.compile(r"(?:<serial>|<entry name=['\"](?:serial|asset)['\"]>)(?P<v>[^<\n]+)<")),
    # dmidecode: `	Serial Number: VMware-56 4d 5e`
    Shape(
        "serial",
        re.compile(
            r"(?m)^[ \t]*(?:Serial Number|Service Tag|Asset Tag)[ \t]*:[ \t]*(?P<v>(?!Not |None|To [Bb]e|Unknown|Default)[^\n]*[^\s])"
        ),
        _named,
    ),
    # serial=nvme17, -device ..,serial=deadbeef, ID_SERIAL_SHORT=..
    Shape("serial", re.compile(r"(?i)(?<![a-z])(?:id_)?serial(?:_short)?=[\"']?(?P<v>[A-Za-z0-9][\w.:-]{2,}\w)"), _named),
    # "serial": "S3Z2NB0K123456X"
    Shape("serial", re.compile(r"(?i)\"serial(?:_?number)?\\*\" ?: ?\\*\"(?P<v>[^\"\\\n]{3,})"), _named),
    # usb 1-1: SerialNumber: 4C530001230917, S/N ABC123, [SN] Serial number: MT2134X01234, ppin 0x2ebc..
    Shape(
        "serial",
        re.compile(
            r"(?i)(?<![a-z0-9_])(?:serial(?:[ _-]?(?:number|num|no\.?|nr\.?))?|s/n|sn|service tag|asset tag|ppin)"
            r"(?:\]| is)?(?:[ \t]*[:=#(])?[ \t]*[\"'<]?(?P<v>[A-Za-z0-9][A-Za-z0-9_.-]{3,}[A-Za-z0-9])(?![\w/]|:[0-9A-Fa-f]{2})"
        ),
        _has_digit,
    ),
    Shape(
        "uuid", re.compile(rf"{BEGIN}[0-9A-Fa-f]{{8}}-[0-9A-Fa-f]{{4}}-[0-9A-Fa-f]{{4}}-[0-9A-Fa-f]{{4}}-[0-9A-Fa-f]{{12}}(?![0-9A-Za-z])")
    ),
    # machine ids and boot ids, as systemd writes them
    Shape("uuid", re.compile(rf"{BEGIN}(?:[0-9a-f]{{32}}|[0-9A-F]{{32}})(?![0-9A-Za-z])"), _has_digit),
    # root=PARTUUID=1234abcd-02, UUID=1234-ABCD
    Shape("uuid", re.compile(r"UUID=[\"']?(?P<v>(?!uuid-)[0-9A-Fa-f]{4,}-[0-9A-Fa-f-]{2,})")),
    # 52:54:00:12:34:56, 52-54-00-12-34-56, the 14 bytes of netfilter's MAC=, the 20 of InfiniBand, a WWN of 8
    Shape("mac", re.compile(rf"(?:{BEGIN}(?<![0-9A-Fa-f][:-]))(?:(?:{_HH}:){{5,}}|(?:{_HH}-){{5,}}){_HH}(?![0-9A-Za-z]|[:-][0-9A-Fa-f])")),
    # 5254.0012.3456
    Shape("mac", re.compile(rf"{BEGIN}(?<!\.)[0-9A-Fa-f]{{4}}\.[0-9A-Fa-f]{{4}}\.[0-9A-Fa-f]{{4}}(?![0-9A-Za-z]|\.[0-9A-Fa-f])")),
    # enx525400123456
    Shape("mac", re.compile(rf"{BEGIN}enx(?P<v>[0-9a-f]{{12}})(?![0-9a-z])")),
    # fe80::5054:ff:fe12:3456, 2001:db8:0:1:2:3:4:5, ::ffff:10.1.2.3
    Shape(
        "ip",
        re.compile(
            rf"{BEGIN}(?<![:.])(?=[0-9A-Fa-f]{{0,4}}:)(?P<v>[0-9A-Fa-f:]{{1,44}}(?:[0-9A-Fa-f]|::)(?:\.[0-9]{{1,3}}){{0,3}})"
            r"(?![0-9A-Za-z_]|:[0-9A-Fa-f:]|\.[0-9])"
        ),
        _is_ip6,
        r"[0-9A-Fa-f]::|::[0-9A-Fa-f]|(?:[0-9A-Fa-f]{1,4}:){6}",
    ),
    Shape(
        "ip",
        re.compile(rf"{BEGIN}(?<![.])(?<![A-Za-z_]-){_IP4}(?![0-9A-Za-z_]|\.[0-9]|[-+~](?!{_IP4})[0-9A-Za-z])"),
        _is_address,
        r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
    ),
    # ip-10-1-2-3 (a host of a cloud)
    Shape("host", re.compile(rf"{BEGIN}ip-[0-9]{{1,3}}-[0-9]{{1,3}}-[0-9]{{1,3}}-[0-9]{{1,3}}(?![0-9A-Za-z_-])")),
)

# node17.rack2.example.com: the first label is a host, the others are a domain
DOMAIN = re.compile(
    rf"(?i){BEGIN}(?<![.@/-])([a-z0-9](?:[a-z0-9_-]{{0,61}}[a-z0-9])?)\.((?:[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?\.){{0,9}}(?:{_ENDINGS}))(?![0-9a-z_\x28-]|\.[0-9a-z])"
)
# alice@example.com
MAIL = re.compile(
    rf"(?i){BEGIN}(?<![.+-])([a-z][a-z0-9_.+-]{{0,63}})@((?:[a-z0-9-]{{1,63}}\.){{1,9}}(?:{_ENDINGS}))(?![0-9a-z_-]|\.[0-9a-z])"
)
