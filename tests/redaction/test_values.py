"""Texts in, redacted texts out: what names somebody goes, what says why interrupts stopped stays."""

import re

import pytest

from tracekit.redaction.names import Names
from tracekit.redaction.redactor import Redactor
from tracekit.redaction.tokens import Tokens

WORDS = frozenset({"vector", "enabling", "device", "failed"})


def redacted(text: str, *hosts: str) -> str:
    names = Names(WORDS)
    for host in hosts:
        names.add("host", host)
    redactor = Redactor(Tokens(b"k" * 16), names)
    assert redactor.data(text.encode()).decode() == redactor.text(text), "lines and text are redacted alike"
    return redactor.text(text)


def kinds(text: str, *hosts: str) -> list[str]:
    return re.findall(r"(mac|ip|host|user|domain|vm|serial|uuid|wwn|path)-[0-9a-f]{10}\b", redacted(text, *hosts))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("e1000e 0000:00:1f.6 eth0: (PCI Express:2.5GT/s:Width x1) 52:54:00:12:34:56", ["mac"]),
        ("renamed from eth0: enx525400123456", ["mac"]),
        ("bridge hello 5254.0012.3456", ["mac"]),
        ("MAC=52:54:00:12:34:56:52:54:00:12:34:57:08:00 SRC=10.1.2.3 DST=192.168.7.9", ["mac", "ip", "ip"]),
        ("nfs: server 10.17.2.9 not responding", ["ip"]),
        ("listening on 10.17.2.9:514, [2001:db8::17]:514 and 10.17.0.0/16", ["ip", "ip", "ip"]),
        ("duplicate address fe80::5054:ff:fe12:3456 detected", ["ip"]),
        ("fe80::5054:ff:fe12:3456: no route", ["ip"]),
        ("peer ::ffff:10.17.2.9.", ["ip"]),
        ("10.0.0.5-10.0.0.9", ["ip", "ip"]),
        ("\x1b[32m10.17.2.9\x1b[0m", ["ip"]),
        ('{"MESSAGE":"a\\n10.17.2.9"}', ["ip"]),
        ("EXT4-fs (sda1): mounted filesystem 0f7a1b2c-3d4e-5f60-7182-93a4b5c6d7e8", ["uuid"]),
        ("-- Boot 5d74f3a7ad864da0a325c043ab78a5f3 --", ["uuid"]),
        ("root=PARTUUID=1234abcd-02 ro", ["uuid"]),
        ("usb 1-4: SerialNumber: 4C530001230917", ["serial"]),
        ("\tSerial Number: VMware-56 4d 5e 6f", ["serial"]),
        ("-device nvme,serial=deadbeef,id=n0", ["serial"]),
        ("Device Serial Number 00-11-22-ff-ff-33-44-55", ["serial"]),
        ("sas_addr(0x500605b00a1b2c3d)", ["wwn"]),
        ("/dev/disk/by-id/wwn-0x5000c500a1b2c3d4", ["serial"]),
        ("link wwn-0x5000c500a1b2c3d4", ["wwn"]),
        ("target iqn.2003-01.org.linux-iscsi.x:sn.12", ["wwn"]),
        ("PWD=/var/home/alice/vm/disk.img ;", ["user", "path"]),
        ("Accepted publickey for alice from 10.17.2.9 port 22", ["ip", "user"]),
        ("New session 3 of user alice.", ["user"]),
        ("connect from node17.corp.example.com", ["host", "domain"]),
        ("mail to alice@example.com", ["user", "domain"]),
        ("[root@node17 ~]# dmesg", ["host"]),
        ("-name guest=web-01,debug-threads=on", ["vm"]),
        ("file=/var/lib/libvirt/images/web-01.qcow2", ["vm"]),
    ],
)
def test_what_names_somebody_goes(text: str, found: list[str]) -> None:
    assert sorted(kinds(text)) == sorted(found), redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "Linux version 10.1.2.3-generic (gcc version 12.2.0)",
        "CPU: 0 PID: 1 Comm: x Not tainted 6.1.0.12 #1",
        "mlx5_core 0000:08:00.0: firmware version: 16.35.20.10",
        "bnx2x: fw 10.13.1.20 bc 7.14.8",
        "ixgbe: NVM ver 10.20.3.1, driver v10.2.30.4",
        "insmod /lib/modules/10.1.20.12/kernel/vfio.ko",
        "qemu-10.20.30.40: started",
        "vfio-pci 0000:3b:00.0: enabling device (0000 -> 0002)",
        "pci_bus 0000:3a: busn_res: [bus 3a-3f]",
        "00:08.0 std::vector<int>::push_back abc::def ::",
        "12:34:56 2026-11-21T00:13:22.123456+00:00 20:26:11:21",
        "MSI-X: address 0xfee00398 data 0x4021 vector 34 pirq 55",
        "Serial: 8250/16550 driver, 32 ports",
        "serial 0000:00:16.3: ttyS4 at I/O 0x3060",
        "usb 1-4: New USB device strings: Mfr=1, Product=2, SerialNumber=3",
        "-serial mon:stdio -chardev pty,id=charserial0",
        "inet 127.0.0.1 netmask 255.255.255.0",
        "interrupt-controller@8000000 pcie@10000000 user@1000.service",
        "1234@1711234567.123456:vfio_msix_vector_use (0000:3b:00.0) vector 3 used",
        "(XEN) d1: bind of pirq 55, Domain-0 dom0",
        "Linux version 6.1.0 (debian-kernel@lists.debian.org) (gcc)",
        "irq 137 ffffffff81a2b3c4 0xffff888104a2b3c4 0000000000000001",
        "name=(0000:3b:00.1) irq/137-vfio-msix[0](0000:3b:00.1)",
    ],
)
def test_what_says_why_interrupts_stopped_stays(text: str) -> None:
    assert redacted(text) == text


def test_a_host_goes_wherever_it_stands_and_a_word_of_the_messages_does_not() -> None:
    told = redacted("Nov 21 10:00:00 node17 kernel: node17.lan answers, NODE17 too; node171 does not", "node17")
    assert len(re.findall("host-[0-9a-f]{10}", told)) == 3
    assert "node171" in told
    line = "Nov 21 10:00:00 vector kernel: [    1.000000] no vector left"
    assert redacted(line, "vector") == line


def test_a_short_host_goes_where_an_envelope_has_its_host_and_nowhere_else() -> None:
    told = redacted("Nov 21 10:00:00 n1 kernel: [    1.000000] usb n1: x\n<6>Nov 21 10:00:00 n1 sshd[12]: x", "n1")
    assert re.sub("host-[0-9a-f]{10}", "H", told) == "Nov 21 10:00:00 H kernel: [    1.000000] usb n1: x\n<6>Nov 21 10:00:00 H sshd[12]: x"


def test_one_value_has_one_token_and_another_key_gives_another() -> None:
    names = Names(WORDS)
    one, other = Redactor(Tokens(b"a" * 16), names), Redactor(Tokens(b"b" * 16), names)
    assert one.text("52:54:00:AB:CD:EF") == one.text("52:54:00:ab:cd:ef") == Redactor(Tokens(b"a" * 16), names).text("52:54:00:ab:cd:ef")
    assert one.text("10.17.2.9") != other.text("10.17.2.9")


def test_tokens_stay_when_they_are_redacted_again() -> None:
    text = "Nov 21 10:00:00 node17 sshd[1]: Accepted publickey for alice from 10.17.2.9 by node17.corp.example.com /var/home/alice/x/y"
    once = redacted(text, "node17")
    assert redacted(once) == once


def test_bytes_that_are_no_utf8_and_lines_without_a_value_stay_as_they_are() -> None:
    redactor = Redactor(Tokens(b"k" * 16), Names(WORDS))
    data = b"\xff\xfe odd \x00\r\nserver 10.17.2.9 \xff\r\nlast"
    out = redactor.data(data)
    assert re.sub(rb"ip-[0-9a-f]{10}", b"IP", out) == b"\xff\xfe odd \x00\r\nserver IP \xff\r\nlast"


def test_the_message_that_journald_writes_as_numbers_is_read() -> None:
    told = redacted('{"MESSAGE":[' + ",".join(str(b) for b in b"\x1b[1mserver 10.17.2.9") + "]}")
    assert kinds(told) == ["ip"]
    plain = '{"MESSAGE":[27,91,49,109]}'
    assert redacted(plain) == plain


@pytest.mark.parametrize("text", ["a.", "a-", "\\", "a:", "ssh ", "@a", "/home/", "10.", "f", "serial ", "a@"])
def test_long_lines_of_almost_matches_take_no_longer_for_each_character(text: str) -> None:
    assert redacted(text * (20_000 // len(text)))


def test_no_token_spells_a_word() -> None:
    """`mac-76348bad8d` made a complaint of an ordinary line."""
    tokens = Tokens(b"key")
    made = {tokens.of("mac", str(n)) for n in range(5000)}
    assert len(made) == 5000
    assert not any(re.search("[a-f]{3}", token.partition("-")[2]) for token in made)
