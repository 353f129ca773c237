"""The gates of a scenario: by its releases and platform, some of them flipped."""

from collections.abc import Mapping

from tracekit import Gate, Scenario, release_of

# Gate -> whose release decides, and what stands where the gates leave it open.
OF_HOST = ("KV1", "KV2", "KV3", "KV4", "KV7", "KV8")
OF_GUEST = ("KV5", "KV6")
OF_CLIENT = ("QV1", "QV2", "QV3", "QV5")
OF_XEN = ("XV1",)
SEEN = (*OF_HOST, *OF_CLIENT)  # gates of the host and the client, which the lines of a host may show
SWITCHES = ("domain_removed_on_disable", "vectors_up_front", "rebind_between_sessions")


def gates_of(scenario: Scenario, declared: Mapping[str, Gate], flips: tuple[str, ...]) -> tuple[dict[str, bool], tuple[str, ...]]:
    """Return each gate's value, and what had to be assumed. What was seen decides before a release; a gate without evidence is off."""
    host, guest = scenario.host, scenario.guest
    qemu = scenario.client.version if scenario.client.name == "qemu" else ""
    made: dict[str, bool] = {}
    assumed = []
    for codes, release, arch, parent in (
        (OF_HOST, host.kernel, host.arch, host.parent),
        (OF_GUEST, guest.kernel, "x86", ""),
        (OF_CLIENT, qemu, "", ""),
        (OF_XEN, host.xen, "", ""),
    ):
        for code in (c for c in codes if c in declared):
            told = declared[code].value(release_of(release), arch, parent or usual(arch)) if release else False
            if told is None:
                assumed.append(f"{code} ({declared[code].name}) is taken to be off: it depends on more than {release} on {arch} tells")
            made[code] = bool(told)
    seen = {g.removeprefix("-"): not g.startswith("-") for g in scenario.gates}
    made |= {code: value for code, value in seen.items() if code in made}
    assumed = [text for text in assumed if text.split()[0] not in seen]
    made |= dict.fromkeys(SWITCHES, False)
    unknown = [f for f in flips if f not in made]
    assumed += [f"{f} changes nothing here" for f in unknown]
    return {code: value != (code in flips) for code, value in made.items()}, tuple(assumed)


def usual(arch: str) -> str:
    """Return the interrupt parent that machines of an architecture have where a scenario names none."""
    return "GIC ITS" if arch == "arm64" else ""
