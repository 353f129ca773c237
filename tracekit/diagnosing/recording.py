"""Recording scripts for a host without tracekit: probes that exist, cleanup, other logs, one tar; or a program of another kind."""

import re
from collections.abc import Mapping
from pathlib import Path

from tracekit.diagnosing.recipes import RECIPES, Recipe

HANDLERS = '"vfio-*"'  # the name of every handler of vfio-pci, in a filter
_DEFINITION = re.compile(r"^echo '([pr]:tk/[^' ]+ [^']+)' >> \$T/kprobe_events$", re.MULTILINE)
_ENABLE = re.compile(r"echo 1 > \$T/events/(\S+)/enable")
_FILTER = re.compile(r"echo '([^']*)' > \$T/events/(\S+)/filter")

_VERBOSE = re.compile(r"echo 'file (\S+) \+p' > /sys/kernel/debug/dynamic_debug/control")


def family_for(code: str) -> str | None:
    """Return the family whose recording feeds a diagnosis; one that can be a script first."""
    fed = [name for name, recipe in RECIPES.items() if code in recipe.feeds]
    return next((name for name in fed if RECIPES[name].tracing), fed[0] if fed else None)


def about(commands: str, device: str | None) -> str:
    """Return commands for one device: the handlers of that function alone, its configuration space beside."""
    if device is None:
        return commands
    narrowed = commands.replace(HANDLERS, f'"*{device}*"')
    return narrowed.replace("lspci -vvnn > lspci.txt", f"lspci -vvnn > lspci.txt; lspci -vvnn -s {device} > lspci-device.txt")


def script(family: str, device: str | None = None) -> str:
    """Return the script of a family that records through tracefs, or its program."""
    recipe = RECIPES[family]
    if recipe.program:
        return Path(__file__).with_name(recipe.program).read_text(encoding="utf-8")
    told = {
        "FAMILY": family,
        "ASKS": recipe.asks,
        "FEEDS": " ".join(recipe.feeds),
        "DEVICE": device or "",
        "COMMANDS": _own(recipe, device),
        "DRGN": _drgn(recipe),
    }
    return _filled(_SCRIPT, told)


def _own(recipe: Recipe, device: str | None) -> str:
    """Return the recipe's commands as calls of the script's functions."""
    own = _DEFINITION.sub(r"probe '\1'", about(recipe.commands.strip(), device))
    own = _ENABLE.sub(lambda m: f'switch_on "{m[1]}"' if "$" in m[1] else f"switch_on {m[1]}", own)
    own = _FILTER.sub(r"limit \2 '\1'", own)
    return _VERBOSE.sub(r"verbose \1", own)


def _drgn(recipe: Recipe) -> str:
    """Return the commands that read the sizes of irq domains, where a recipe asks for these and the host has drgn."""
    sizes = RECIPES["hwsize"]
    if set(sizes.feeds).isdisjoint(recipe.feeds):
        return ""
    own = ["cat > \"$work/hwsizes.py\" <<'END_OF_PROGRAM'", script("hwsize").rstrip(), "END_OF_PROGRAM"]
    run = 'drgn "$work/hwsizes.py" > hwsizes.txt 2>/dev/null'
    return "\n".join(["if command -v drgn >/dev/null; then", *own, f"    {run}", "fi", ""])


def _filled(text: str, told: Mapping[str, str]) -> str:
    return re.sub(r"@([A-Z]+)@", lambda m: told[m[1]], text)


_SCRIPT = r"""#!/bin/sh
# @ASKS@
# Records for @FEEDS@. As root; load the drivers first:
#   sh record.sh        until Enter or Ctrl-C        sh record.sh 60        for 60 seconds
# It writes one archive into the working folder: tracekit analyze tracekit-*.tar.gz
# shellcheck disable=SC2016 # $arg1 and $retval are for the kernel
set -u
export LC_ALL=C

DEVICE='@DEVICE@'
T=${TRACEFS:-/sys/kernel/tracing}
[ -e "$T/trace" ] || T=/sys/kernel/debug/tracing
[ -w "$T/trace" ] || { echo "record.sh: $T cannot be written: be root, and mount -t tracefs nodev /sys/kernel/tracing" >&2; exit 1; }
here=$(pwd)
name=tracekit-@FAMILY@-$(date +%Y%m%d-%H%M%S)
work=$(mktemp -d "${TMPDIR:-/tmp}/$name.XXXXXX") || exit 1
mkdir "$work/$name" && cd "$work/$name" || exit 1
live=
enabled=
debug=/sys/kernel/debug/dynamic_debug/control
talking=

# What was set before, to be set again at the end.
clock=$(sed 's/.*\[\(.*\)\].*/\1/' "$T/trace_clock" 2>/dev/null)
size=$(sed 's/ .*//' "$T/buffer_size_kb" 2>/dev/null)
tracer=$(cat "$T/current_tracer" 2>/dev/null)
on=$(cat "$T/tracing_on" 2>/dev/null)

# put FILE TEXT: write into a file of tracefs; what the kernel refuses is noted.
put() {
    { printf '%s\n' "$2" > "$T/$1"; } 2>/dev/null || echo "refused: $2 > $1" >> skipped.txt
}

# probe DEFINITION: set a probe, where this kernel has the function.
probe() {
    function=$(printf '%s\n' "$1" | cut -d' ' -f2)
    if [ -r "$T/available_filter_functions" ] && ! grep -qE "^$function( |\$)" "$T/available_filter_functions"; then
        echo "no such function here: $function" >> skipped.txt
    else
        { printf '%s\n' "$1" >> "$T/kprobe_events"; } 2>/dev/null || echo "refused: $1" >> skipped.txt
    fi
}

# switch_on EVENTS: record a tracepoint, or a group of them.
switch_on() {
    if [ -e "$T/events/$1/enable" ]; then
        put "events/$1/enable" 1
        enabled="$enabled $1"
    else
        echo "no such event here: $1" >> skipped.txt
    fi
}

# limit EVENT FILTER: record only some of an event.
limit() {
    if [ -e "$T/events/$1/filter" ]; then
        put "events/$1/filter" "$2"
    fi
}

# verbose FILE: have the kernel print the debug messages of a source file.
verbose() {
    { printf 'file %s +p\n' "$1" > "$debug"; } 2>/dev/null || echo "no dynamic debug here: $1" >> skipped.txt
    talking="$talking $1"
}

# Leave the machine as it was, however this ends.
cleanup() {
    trap - EXIT INT TERM HUP
    [ -z "$live" ] || kill "$live" 2>/dev/null
    put tracing_on 0
    for e in $enabled; do
        put "events/$e/enable" 0
        limit "$e" 0
    done
    for e in "$T"/events/tk/*/; do
        if [ -d "$e" ]; then printf -- '-:tk/%s\n' "$(basename "$e")" >> "$T/kprobe_events"; fi
    done 2>/dev/null
    for f in $talking; do
        printf 'file %s -p\n' "$f" > "$debug"
    done 2>/dev/null
    [ -z "$clock" ] || put trace_clock "$clock"
    [ -z "$size" ] || put buffer_size_kb "$size"
    [ -z "$tracer" ] || put current_tracer "$tracer"
    put tracing_on "${on:-1}"
    cd "$here" && rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

put tracing_on 0
put current_tracer nop
put trace ''
# One clock for traces and QEMU. A trace with lost events cannot prove that something did not happen: KiB for each CPU.
put trace_clock mono
put buffer_size_kb "${BUFFER_KB:-16384}"

@COMMANDS@

cat /proc/interrupts > interrupts-before.txt 2>/dev/null
put tracing_on 1
trap : INT # Ctrl-C ends the recording, not the script
if [ -n "${1:-}" ]; then
    echo "recording for $1 s: bring the fault about" >&2
    sleep "$1"
else
    echo "recording: bring the fault about, then press Enter" >&2
    read -r _
fi
put tracing_on 0

cat "$T/trace" > trace.txt
cat "$T/kprobe_events" > kprobe_events.txt
for cpu in "$T"/per_cpu/cpu*/stats; do
    if [ -r "$cpu" ]; then echo "$cpu"; cat "$cpu"; fi
done > stats.txt

# Beside it: names, sizes, holders and releases are often in no trace.
dmesg > dmesg.txt 2>/dev/null
cat /proc/interrupts > interrupts.txt 2>/dev/null
uname -a > uname.txt
cat /proc/cmdline > cmdline.txt 2>/dev/null
if command -v lspci >/dev/null; then
    lspci -vvnn > lspci.txt 2>/dev/null
    [ -z "$DEVICE" ] || lspci -vvnn -s "$DEVICE" > lspci-device.txt 2>/dev/null
fi
for domain in /sys/kernel/debug/irq/domains/*; do
    if [ -r "$domain" ]; then echo "== $domain"; cat "$domain"; fi
done > irq-domains.txt 2>/dev/null
if command -v xl >/dev/null; then
    xl info > xl-info.txt 2>/dev/null
    xl dmesg > xl-dmesg.txt 2>/dev/null
fi

@DRGN@
find . -type f -size 0 -exec rm -f {} +
tar -C "$work" -czf "$here/$name.tar.gz" "$name" || exit 1
echo "$name.tar.gz" # the one line on standard output
"""
