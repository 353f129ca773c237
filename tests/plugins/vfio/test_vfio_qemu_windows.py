"""Growth windows that QEMU's trace and its messages show: which lines, from how many vectors to how many, which were in use."""

import pytest

from tracekit.testing import tables

A, B = "0000:01:00.0", "0000:02:00.0"
FAILED = "2026-11-21T00:15:06.024777Z qemu-system-x86_64: vfio: failed to enable vectors, -1\n"
NO_VECTOR = "2026-11-21T00:15:06.024777Z qemu-system-x86_64: vfio: failed to enable MSI-X, -1\n"


def event(text: str) -> str:
    return f"4211@1795220106.001000:{text}\n"


def opened(n: str = A, noresize: int | None = None) -> str:
    rest = f", noresize {noresize}" if noresize is not None else ""
    return event(f"vfio_msix_early_setup {n} PCI MSI-X CAP @0xb0, BAR 4, offset 0x0, entries 16{rest}")


def on(n: str = A) -> str:
    return event(f"vfio_msix_enable  ({n})")


def off(n: str = A) -> str:
    return event(f"vfio_msix_disable  ({n})")


def reset(n: str = A) -> str:
    return event(f"vfio_pci_reset  {n}")


def use(*vectors: int, n: str = A) -> str:
    return "".join(event(f"vfio_msix_vector_do_use  ({n}) vector {v} used") for v in vectors)


def release(vector: int, n: str = A) -> str:
    return event(f"vfio_msix_vector_release  ({n}) vector {vector} released")


def interrupt(*vectors: int, n: str = A) -> str:
    return "".join(event(f"vfio_msi_interrupt  ({n}) vector {v} 0xfee00000/0x4021") for v in vectors)


# Steps, and the windows: line, kind, numbers of vectors, device, lines of the enable before and of the end, vectors in use with their
# number of interrupts, first and last line.
CASES = {
    "a growth that an interrupt confirms": (
        [opened(), on(), use(0), interrupt(0), use(1), interrupt(1)],
        ["5 growth 1>2 of 0000:01:00.0, enabled 2, ends 5, wired [0], in use [(0, 1, 4, 4)], handlers"],
    ),
    "a growth that another use confirms": (
        [opened(), on(), use(0, 1, 2)],
        [
            "4 growth 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []",
            "5 open 2>3 of 0000:01:00.0, enabled 2, ends 5, wired [0, 1], in use []",
        ],
    ),
    "the last growth is open": ([opened(), on(), use(0, 1)], ["4 open 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []"]),
    "a growth by several": (
        [opened(), on(), use(0, 3), interrupt(3)],
        ["4 growth 1>4 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []"],
    ),
    "a vector between": (
        [opened(), on(), use(0, 3, 1), interrupt(1)],
        ["4 growth 1>4 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []"],
    ),
    "the vector that is as high as the enabled ones are many": (
        [opened(), on(), use(0, 1, 2), interrupt(0, 1, 2)],
        [
            "4 growth 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []",
            "5 growth 2>3 of 0000:01:00.0, enabled 2, ends 5, wired [0, 1], in use []",
        ],
    ),
    "an interrupt of the old set confirms": (
        [opened(), on(), use(0), interrupt(0, 0), use(2), interrupt(0)],
        ["6 growth 1>3 of 0000:01:00.0, enabled 2, ends 6, wired [0], in use [(0, 2, 4, 5)], handlers"],
    ),
    "an interrupt of a vector that is not enabled": (
        [opened(), on(), use(0, 1), interrupt(2)],
        ["4 open 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []"],
    ),
    "vectors in use, several": (
        [opened(), on(), use(0, 1), interrupt(1, 0, 1), use(2), interrupt(2), use(3), interrupt(0)],
        [
            "4 growth 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []",
            "8 growth 2>3 of 0000:01:00.0, enabled 2, ends 8, wired [0, 1], in use [(0, 1, 6, 6), (1, 2, 5, 7)], handlers",
            "10 growth 3>4 of 0000:01:00.0, enabled 2, ends 10, wired [0, 1, 2], in use [(2, 1, 9, 9)], handlers",
        ],
    ),
    "a released vector is not in use": (
        [opened(), on(), use(0, 1), interrupt(0, 1), release(1), use(2), interrupt(0)],
        [
            "4 growth 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []",
            "8 growth 2>3 of 0000:01:00.0, enabled 2, ends 8, wired [0], in use [(0, 1, 5, 5)], handlers",
        ],
    ),
    "a released vector that is not enabled": (
        [opened(), on(), use(0), interrupt(0), release(1), use(1), interrupt(0)],
        ["6 growth 1>2 of 0000:01:00.0, enabled 2, ends 6, wired [0], in use [(0, 1, 4, 4)], handlers"],
    ),
    "disabled at once": ([opened(), on(), use(0, 1), off()], ["4 open 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []"]),
    "reset": (
        [opened(), on(), use(0, 1), reset(), on(), use(0, 1), interrupt(1)],
        [
            "4 growth 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []",
            "8 growth 1>2 of 0000:01:00.0, enabled 6, ends 8, wired [0], in use []",
        ],
    ),
    "enabled anew": (
        [opened(), on(), use(0, 1), on(), use(0, 1), interrupt(0)],
        [
            "4 growth 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []",
            "7 growth 1>2 of 0000:01:00.0, enabled 5, ends 7, wired [0], in use []",
        ],
    ),
    "added in place": ([opened(A, 0), on(), use(0, 1), interrupt(1)], []),
    "not added in place": (
        [opened(A, 1), on(), use(0, 1), interrupt(1)],
        ["4 growth 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []"],
    ),
    "added in place no more": (
        [opened(A, 0), opened(A, 1), on(), use(0, 1), interrupt(1)],
        ["5 growth 1>2 of 0000:01:00.0, enabled 3, ends 5, wired [0], in use []"],
    ),
    "before the enable": ([opened(), use(0, 1), interrupt(1)], []),
    "while the enable goes on": (
        [opened(), use(0), release(0), use(0, 1, 2), on(), interrupt(0), use(3), interrupt(3)],
        ["9 growth 3>4 of 0000:01:00.0, enabled 7, ends 9, wired [0, 1, 2], in use [(0, 1, 8, 8)], handlers"],
    ),
    "another vector is released first": ([opened(), use(0), release(1), use(1), on()], []),
    "vector 1 is taken first": ([opened(), use(1), release(1), use(0, 1), on()], []),
    "another device is released": ([opened(), use(0), release(0, n=B), use(1), on()], []),
    "the growth fails": ([opened(), on(), use(0, 1), FAILED], ["4 failed 1>2 of 0000:01:00.0, enabled 2, ends 5, wired [], in use []"]),
    "the growth fails twice": (
        [opened(), on(), use(0, 1), interrupt(0), use(2), FAILED, use(3), FAILED, off()],
        [
            "4 growth 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []",
            "6 failed 2>3 of 0000:01:00.0, enabled 2, ends 7, wired [], in use [], closed 10",
            "8 failed 2>4 of 0000:01:00.0, enabled 2, ends 9, wired [], in use [], closed 10",
        ],
    ),
    "the growth fails, a later one works": (
        [opened(), on(), use(0, 1), FAILED, use(2), interrupt(2), use(3), interrupt(3)],
        [
            "8 growth 3>4 of 0000:01:00.0, enabled 2, ends 8, wired [0, 1, 2], in use [(2, 1, 7, 7)], handlers",
            "4 failed 1>2 of 0000:01:00.0, enabled 2, ends 5, wired [], in use [], recovered 6",
        ],
    ),
    "the growth fails, a later one is open": (
        [opened(), on(), use(0, 1), FAILED, use(2)],
        ["4 failed 1>2 of 0000:01:00.0, enabled 2, ends 5, wired [], in use []"],
    ),
    "the growth fails, then a disable": (
        [opened(), on(), use(0, 1), FAILED, off(), on(), use(0, 1), interrupt(1)],
        [
            "4 failed 1>2 of 0000:01:00.0, enabled 2, ends 5, wired [], in use [], closed 6",
            "9 growth 1>2 of 0000:01:00.0, enabled 7, ends 9, wired [0], in use []",
        ],
    ),
    "the message comes later": (
        [opened(), on(), use(0, 1), interrupt(1), FAILED],
        ["4 growth 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []"],
    ),
    "a vector that was there fails": (
        [opened(), on(), use(0, 1, 0), FAILED],
        ["4 growth 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []"],
    ),
    "two devices, one fails": (
        [opened(), opened(B), on(), on(B), use(0, 1), use(0, 1, n=B), FAILED],
        [
            "6 open 1>2 of 0000:01:00.0, enabled 3, ends 6, wired [0], in use []",
            "8 failed 1>2 of 0000:02:00.0, enabled 4, ends 9, wired [], in use []",
        ],
    ),
    "nothing was enabled": ([opened(), use(0), FAILED], ["2 failed 0>1 of 0000:01:00.0, enabled None, ends 3, wired [], in use []"]),
    "nothing was enabled, then the enable ends": (
        [opened(), use(0), FAILED, on(), use(1), FAILED],
        [
            "2 failed 0>1 of 0000:01:00.0, enabled 4, ends 3, wired [], in use []",
            "5 failed 0>2 of 0000:01:00.0, enabled 4, ends 6, wired [], in use []",
        ],
    ),
    "nothing was enabled, several": (
        [opened(), use(0), FAILED, use(1), FAILED, on(), off()],
        [
            "2 failed 0>1 of 0000:01:00.0, enabled 6, ends 3, wired [], in use [], closed 7",
            "4 failed 0>2 of 0000:01:00.0, enabled 6, ends 5, wired [], in use [], closed 7",
        ],
    ),
    "nothing was enabled, not opened": ([use(0), FAILED, on()], []),
    "nothing but a message": ([opened(), NO_VECTOR, on()], ["2 failed 0>None of 0000:01:00.0, enabled 3, ends 2, wired [], in use []"]),
    "nothing but a message, the open not seen": ([NO_VECTOR, on()], []),
    "nothing but a message, of the second enable": ([opened(), on(), off(), NO_VECTOR, on()], []),
    "nothing but a message, then another start": (
        [opened(), on(), opened(), NO_VECTOR, on()],
        ["4 failed 0>None of 0000:01:00.0, enabled 5, ends 4, wired [], in use []"],
    ),
    "a message after a disable": (
        [opened(), on(), use(0, 1), off(), FAILED],
        ["4 open 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []"],
    ),
    "a message after an early set-up": (
        [opened(), on(), use(0, 1), opened(), FAILED],
        ["4 open 1>2 of 0000:01:00.0, enabled 2, ends 4, wired [0], in use []"],
    ),
    "a name that is none of PCI": (
        [opened("hostdev0"), on("hostdev0"), use(0, 1, n="hostdev0"), interrupt(1, n="hostdev0")],
        ["4 growth 1>2 of None, enabled 2, ends 4, wired [0], in use []"],
    ),
    "a short name": (
        [opened("01:00.0"), on("01:00.0"), use(0, 1, n="01:00.0"), interrupt(1, n="01:00.0")],
        ["4 growth 1>2 of 01:00.0, enabled 2, ends 4, wired [0], in use []"],
    ),
}


@pytest.mark.parametrize(("steps", "windows"), CASES.values(), ids=CASES)
def test_windows_of_qemus_trace(steps: list[str], windows: list[str]) -> None:
    found = tables("".join(steps))
    rows = found["windows"].rows(named=True) if "windows" in found else []
    assert windows == [
        f"{r['line']} {r['kind']} {r['old']}>{r['new']} of {r['bdf']}, enabled {r['enabled_line']}, ends {r['enable_end']}, wired {r['wired']}, "
        f"in use {[(u['vector'], u['entries'], u['first'], u['last']) for u in r['in_use']]}"
        + "".join(f", {c} {r[f'{c}_line']}" for c in ("recovered", "closed") if r[f"{c}_line"])
        + (", handlers" if r["handlers"] else "")
        for r in rows
    ]
