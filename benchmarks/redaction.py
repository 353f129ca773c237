"""How much of what names somebody is redacted: `python benchmarks/redaction.py [LINES] [SEED]`.

Writes a log of many kinds of lines into which known values are put, redacts it as `tracekit redact` does, and looks for each value in what
comes out: recall by kind. Numbers that only look like values (releases, BDFs, times, MSI addresses) are counted too: those that are
gone are false alarms. The generator knows nothing of the expressions: formats are those of the programs that print the lines.
"""

import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tracekit.pipeline import Engine
from tracekit.reading.source import discover
from tracekit.redaction.tokens import Tokens

WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "flint",
    "grove",
    "heron",
    "indigo",
    "juniper",
    "kestrel",
    "larch",
    "maple",
    "nimbus",
    "osprey",
    "pine",
    "quartz",
    "raven",
    "sable",
    "tulip",
]
Values = dict[str, str]
# The place of a value: {kind}; the same kind has the same value in a line.
LINES = (
    "{stamp} {host} kernel: [{t}] e1000e 0000:00:1f.6 eth0: (PCI Express:2.5GT/s:Width x1) {mac}",
    "{stamp} {host} kernel: [{t}] ixgbe 0000:3b:00.0: {mac}",
    "{stamp} {host} kernel: [{t}] usb 1-4: SerialNumber: {serial}",
    "{stamp} {host} kernel: [{t}] IN=eth0 OUT= MAC={mac}:{mac2}:08:00 SRC={ip} DST={ip2} LEN=60 TTL=64 ID=3512 PROTO=TCP SPT=53122 DPT=22",
    "{stamp} {host} kernel: [{t}] nfs: server {ip} not responding, still trying",
    "{stamp} {host} kernel: [{t}] IPv6: eth0: IPv6 duplicate address {ip6} used by {mac} detected!",
    "{stamp} {host} kernel: [{t}] EXT4-fs (sda2): mounted filesystem {uuid} ro with ordered data mode. Quota mode: none.",
    "{stamp} {host} kernel: [{t}] Command line: BOOT_IMAGE=/vmlinuz-6.1.0-18-amd64 root=UUID={uuid} ro "
    "intel_iommu=on ip={ip}::{ip2}:255.255.255.0:{host}:eth0:none",
    "{stamp} {host} kernel: [{t}] mpt3sas_cm0: hba_port entry: 000000001c2f11ab, port: 255 is added to hba_port list, sas_addr({wwn})",
    "{stamp} {host} kernel: [{t}] scsi 0:0:2:0: SSP: handle(0x000b), sas_addr({wwn}), phy(2), device_name({wwn})",
    "{stamp} {host} kernel: [{t}] connection1:0: detected conn error (1020) target iqn.2003-01.org.linux-iscsi.{host}:sn.{hex12}",
    "{stamp} {host} sshd[{n}]: Accepted publickey for {user} from {ip} port 51422 ssh2: RSA SHA256:abc",
    "{stamp} {host} sshd[{n}]: Failed password for invalid user {user} from {ip6} port 4022 ssh2",
    "{stamp} {host} systemd-logind[{n}]: New session {n} of user {user}.",
    "{stamp} {host} sudo[{n}]:    {user} : TTY=pts/0 ; PWD=/home/{user}/{file} ; USER=root ; COMMAND=/usr/bin/virsh start {vm}",
    "{stamp} {host} CRON[{n}]: ({user}) CMD (/home/{user}/bin/{file})",
    "{stamp} {host} dhclient[{n}]: DHCPACK of {ip} from {ip2} (xid=0x1f2e3d4c)",
    "{stamp} {host} NetworkManager[{n}]: <info>  [1700000000.1234] dhcp4 (eth0): option host_name => '{host}'",
    "{stamp} {host} systemd[1]: Hostname set to <{host}>.",
    "{stamp} {host} chronyd[{n}]: Selected source {ip} ({fqdn})",
    "{stamp} {host} libvirtd[{n}]: Domain id={n} name='{vm}' uuid={uuid} is tainted: host-cpu",
    "{stamp} {host} systemd-machined[{n}]: New machine qemu-{n}-{vm}.",
    "{stamp} {host} postfix/smtpd[{n}]: connect from {fqdn}[{ip}]",
    "{stamp} {host} rsyslogd: action 'fwd' suspended: cannot connect to {fqdn}:514",
    "{stamp} {host} kernel: [{t}] vfio-pci 0000:3b:00.1: {user} on {host} released {vm}",
    "LC_ALL=C /usr/bin/qemu-system-x86_64 -name guest={vm},debug-threads=on -uuid {uuid} -smbios type=1,serial={serial},uuid={uuid} "
    "-netdev tap,id=hostnet0 -device virtio-net-pci,netdev=hostnet0,mac={mac},bus=pci.1 -drive file=/var/lib/libvirt/images/{vm}.qcow2",
    "{iso} {host} qemu-system-x86_64[{n}]: vfio 0000:3b:00.1: Failed to set up TRIGGER eventfd signaling for interrupt MSIX-0",
    "[    1.234567] DMI: Dell Inc. PowerEdge R740/0WGD1O, BIOS 2.10.2.0 02/24/2021",
    "[    1.234567] nvme nvme0: creating 8 I/O queues; NQN nqn.2014-08.org.nvmexpress:uuid:{uuid}",
    '{{"_HOSTNAME":"{host}","_BOOT_ID":"{hex32}","_MACHINE_ID":"{hex32}","SYSLOG_IDENTIFIER":"kernel",'
    '"MESSAGE":"mlx5_core 0000:08:00.0: {mac} {ip}"}}',
    '{{"time":"{iso}","host":"{host}","message":"link {mac} up for {user}@{fqdn}"}}',
    "[{user}@{host} ~]# ip route get {ip}",
    "{user}@{host}:~$ dmesg | grep vfio > /home/{user}/{file}",
    "Linux {host} 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01) x86_64 GNU/Linux",
    "	Serial Number: {serial}",
    "		Capabilities: [140] Device Serial Number {eui}",
    "lrwxrwxrwx 1 root root 9 Nov 21 10:00 /dev/disk/by-id/wwn-{wwn} -> ../../sda",
    "ID_SERIAL_SHORT={serial}",
    "    <serial>{serial}</serial><uuid>{uuid}</uuid><name>{vm}</name><mac address='{mac}'/>",
    " {n}     {vm}                running",
    "scsi-id: page 83: naa.{naa}",
)
STAYS = (
    "6.1.0.12",
    "firmware version: 16.35.2000",
    "fw 10.2.47.14",
    "Linux version 10.1.2.3-generic",
    "0000:3b:00.1",
    "0000:00:08.0",
    "00:1f.6",
    "12:34:56",
    "2026-11-21T00:13:22",
    "std::vector<int>::push_back",
    "address 0xfee00398 data 0x4021",
    "vector 34 pirq 55 irq 137",
    "v2.10.0.4",
    "NVM ver 7.20.3.1",
    "driver version 5.4.0.0",
    "qemu-8.2.1.3",
    "irq/137-vfio-msix[0](0000:3b:00.1)",
    "[8086:1533]",
    "ffffffff81a2b3c4",
    "mask 255.255.255.0",
    "pci_bus 0000:3a: resource 0 [mem 0xb8000000-0xc5ffffff]",
    "/lib/modules/6.1.0.12/kernel",
)


def value(kind: str, rnd: random.Random, fleet: dict[str, list[str]]) -> str:
    """Return a fresh value of a kind, or one of the few hosts, users and machines of this log."""
    if kind in fleet:
        return rnd.choice(fleet[kind])
    octet: Callable[[], int] = lambda: rnd.randint(1, 254)  # noqa: E731
    letters = "".join(rnd.choice("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789") for _ in range(rnd.randint(7, 14)))
    hexes = f"{rnd.getrandbits(128) | 1 << 127:032x}"
    return {
        "mac": ":".join(f"{rnd.getrandbits(8):02x}" for _ in range(6)),
        "ip": f"{rnd.choice((10, 172, 192, octet()))}.{octet()}.{octet()}.{octet()}",
        "ip6": rnd.choice(
            (f"fe80::{octet():x}:{octet():x}ff:fe{octet():02x}:1", f"2001:db8:{octet():x}::{octet():x}", f"fd00:{octet():x}:1:2:3:4:5:6")
        ),
        "uuid": f"{hexes[:8]}-{hexes[8:12]}-{hexes[12:16]}-{hexes[16:20]}-{hexes[20:]}",
        "serial": letters + str(octet()),
        "wwn": f"0x5000c500{rnd.getrandbits(32):08x}",
        "naa": f"5000c500{rnd.getrandbits(32):08x}",
        "eui": "-".join(f"{rnd.getrandbits(8):02x}" for _ in range(8)),
        "hex12": hexes[:12],
        "hex32": hexes,
        "file": f"{rnd.choice(WORDS)}-{octet()}/{rnd.choice(WORDS)}{octet()}.txt",
    }[kind]


def fleet(rnd: random.Random) -> dict[str, list[str]]:
    """Return the hosts, users, domains and virtual machines that a log is about."""
    hosts = [f"{rnd.choice(WORDS)}{rnd.randint(10, 99)}" for _ in range(3)] + [
        f"{rnd.choice(WORDS)}-{rnd.choice('abc')}{rnd.randint(1, 99):02d}"
    ]
    users = [f"{rnd.choice('abcdefgh')}{rnd.choice(WORDS)}{rnd.choice(('', str(rnd.randint(1, 9))))}" for _ in range(4)]
    machines = [f"{rnd.choice(('web', 'db', 'ci'))}-{rnd.choice(WORDS)}-{rnd.randint(1, 40)}" for _ in range(4)]
    domain = f"{rnd.choice(WORDS)}.{rnd.choice(('example.com', 'corp.internal', 'lan', 'cloud.example.org'))}"
    return {"host": hosts, "user": users, "vm": machines, "fqdn": [f"{h}.{domain}" for h in hosts]}


def written(count: int, rnd: random.Random) -> Iterator[tuple[str, Values]]:
    """Yield (line, its values by kind)."""
    named = fleet(rnd)
    for i in range(count):
        form = rnd.choice(LINES)
        kinds = set(re.findall(r"(?<!\{)\{(\w+?)\}", form)) - {"stamp", "iso", "t", "n"}
        values = {k: value(k.rstrip("2") if k in ("mac2", "ip2") else k, rnd, named) for k in kinds}
        at = f"{i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}"
        times = {
            "stamp": f"Nov {1 + i // 86400 % 28:>2} {at}",
            "iso": f"2026-11-21T{at}.123456+00:00",
            "t": f"{i / 10:12.6f}",
            "n": str(2000 + i % 900),
        }
        yield form.format(**values, **times), values


def measure(count: int, seed: int) -> tuple[Counter[str], Counter[str], Counter[str], float]:
    """Return (values by kind, those found in the redacted log by kind, numbers that are gone, MB/s)."""
    rnd = random.Random(seed)
    made = list(written(count, rnd))
    lines = [line for line, _ in made] + [f"[  100.000000] {text}" for text in STAYS]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "generated.log"
        log.write_text("\n".join(lines) + "\n", encoding="utf-8")
        begin = time.perf_counter()
        sources, _ = discover([str(log)])
        redactor = Engine.load().redactor(sources, Tokens())
        out = "".join(redactor.data(c.data).decode() for c in sources[0].chunks())
        rate = log.stat().st_size / 1e6 / (time.perf_counter() - begin)
    told = out.split("\n")
    total: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for (line, values), fresh in zip(made, told, strict=False):
        for kind, text in values.items():
            total[kind] += 1
            if text in fresh:
                left[kind] += 1
                if left[kind] <= 2:
                    print(f"  left: {kind} {text}: {line}\n     -> {fresh}", file=sys.stderr)
    gone = Counter(text for text, fresh in zip(STAYS, told[count:], strict=False) if text not in fresh)
    return total, left, gone, rate


def main() -> int:
    """Print recall by kind, and the false alarms; exit status 1 where less than 99.9 % are redacted, or anything else is."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    total, left, gone, rate = measure(count, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    for kind in sorted(total):
        print(f"{kind:<8} {total[kind]:>8,} values, {left[kind]:>4,} left: {100 * (1 - left[kind] / total[kind]):8.4f} %")
    recall = 1 - left.total() / total.total()
    print(f"all      {total.total():>8,} values, {left.total():>4,} left: {100 * recall:8.4f} %; {rate:.1f} MB/s")
    print(f"other numbers: {len(STAYS)}, gone: {', '.join(gone) or 'none'}")
    return int(recall < 0.999 or bool(gone))


if __name__ == "__main__":
    sys.exit(main())
