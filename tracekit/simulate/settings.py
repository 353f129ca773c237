"""TOML and `--set` into a scenario, and a scenario into TOML. Every error names the setting, and the nearest name where one is unknown."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from tracekit.errors import UsageError, nearest
from tracekit.simulate.scenario import Scenario, release_of

Tree = dict[str, Any]
LARGEST = 1_000_000
EVENTS = ("interrupts", "acts", "requests")  # what happens to a device
TABLES = ("devices", *EVENTS, "hotplug")
SHORT = {"kernel": "host.kernel", "qemu": "client.version"}  # the settings that are asked about most


def read(path: Path) -> Tree:
    """Return the settings of a file. Errors: UsageError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"cannot read {path}: {getattr(e, 'strerror', None) or e}") from e
    except tomllib.TOMLDecodeError as e:
        raise UsageError(f"{path}: {e}") from e


def changed(tree: Mapping[str, Any], settings: Iterable[str]) -> Tree:
    """Return the settings with `host.kernel=6.12` and the like put in; `devices.table=8,16` changes every device, `devices.0.table` one.

    `kernel` and `qemu` are short for `host.kernel` and `client.version`.
    """
    made = _copied(tree)
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {setting}: give NAME=VALUE, as in host.kernel=6.12")
        name, value = SHORT.get(name.strip(), name.strip()), value.strip()
        _put(made, name.split("."), value[1:-1] if value[:1] + value[-1:] == "[]" else value, setting)
    return made


def scenario(tree: Mapping[str, Any], source: str = "scenario") -> Scenario:
    """Return the settings as a scenario; defaults stand for what is not given. Errors: UsageError."""
    made: Scenario = _built(Scenario, tree, source, "")
    if not made.devices:
        raise UsageError(f"{source}: devices: give at least one")
    names = [d.name for d in made.devices]
    if len(set(names)) < len(names):
        raise UsageError(f"{source}: devices: two have one name")
    for h in made.hotplug:
        if h.cpu >= made.host.cpus:
            raise UsageError(f"{source}: hotplug.cpu = {h.cpu}: the host has {made.host.cpus} CPUs, the first is 0")
    for part in EVENTS:
        for e in getattr(made, part):
            if e.device and e.device not in names:
                raise UsageError(f"{source}: {part}.device: no device is called {e.device}{nearest(e.device, names)}")
    return made


def written(value: Scenario) -> str:
    """Return a scenario as TOML: what differs from the defaults, and the releases, which decide."""
    return "\n\n".join(filter(None, ["\n".join(_lines(value)), *_tables(value)])) + "\n"


def _copied(tree: Mapping[str, Any]) -> Tree:
    return {
        k: _copied(v)
        if isinstance(v, Mapping)
        else [_copied(x) if isinstance(x, Mapping) else x for x in v]
        if isinstance(v, list | tuple)
        else v
        for k, v in tree.items()
    }


def _put(tree: Tree, names: Sequence[str], value: str, setting: str) -> None:
    """Put one value in: a list of tables takes it in each of them, or in the one that a number names."""
    first, *rest = names
    if not rest:
        tree[first] = value
        return
    if first in TABLES:
        rows = tree.setdefault(first, [{}])
        chosen: list[Tree] = rows
        if rest[0].isdigit():
            if int(rest[0]) >= len(rows) or len(rest) < 2:
                raise UsageError(f"--set {setting}: there are {len(rows)} {first}, the first is {first}.0")
            chosen, rest = [rows[int(rest[0])]], rest[1:]
        for row in chosen:
            _put(row, rest, value, setting)
        return
    inner = tree.setdefault(first, {})
    if not isinstance(inner, dict):
        raise UsageError(f"--set {setting}: {first} has no settings of its own")
    _put(inner, rest, value, setting)


@cache
def _declared(kind: type) -> tuple[dict[str, "Field[Any]"], dict[str, Any]]:
    """Return the settings of a class by name, and their types."""
    return {f.name: f for f in fields(kind)}, get_type_hints(kind)


def _built(kind: type, tree: Any, source: str, where: str) -> Any:
    """Return one table of settings as its class."""
    if not isinstance(tree, Mapping):
        raise UsageError(f"{source}: {where.rstrip('.')}: give a table of settings")
    known, types = _declared(kind)
    for name in tree:
        if name not in known:
            raise UsageError(f"{source}: {where}{name}: there is no such setting{nearest(name, known)}")
    return kind(**{n: _value(types[n], known[n], v, source, f"{where}{n}") for n, v in tree.items()})


def _value(kind: Any, setting: "Field[Any]", raw: Any, source: str, where: str) -> Any:
    """Return one value, checked; a text stands for the value that it spells, as `--set` gives it."""
    if is_dataclass(kind):
        return _built(kind, raw, source, f"{where}.")  # type: ignore[arg-type]
    if get_origin(kind) is tuple:
        return _values(get_args(kind)[0], setting, raw, source, where)
    if kind is str:
        return _text(setting, raw, source, where)
    if kind is bool:
        told = {"true": True, "false": False}.get(str(raw).lower())
        if told is None:
            raise UsageError(f"{source}: {where} = {raw}: give true or false")
        return told
    try:
        if isinstance(raw, bool):
            raise ValueError
        number = kind(raw)
    except (TypeError, ValueError):
        raise UsageError(f"{source}: {where} = {raw}: give a number") from None
    if isinstance(raw, float) and number != raw or not 0 <= number <= LARGEST:
        raise UsageError(f"{source}: {where} = {raw}: give a number from 0 to {LARGEST}")
    return number


def _values(kind: Any, setting: "Field[Any]", raw: Any, source: str, where: str) -> tuple[Any, ...]:
    given = raw.split(",") if isinstance(raw, str) and raw else [] if raw == "" else raw
    if not isinstance(given, list | tuple):
        given = [given]
    if is_dataclass(kind):
        return tuple(_built(kind, x, source, f"{where}.{i}.") for i, x in enumerate(given))  # type: ignore[arg-type]
    made = tuple(_value(kind, setting, x, source, where) for x in given)
    if any(isinstance(n, int) and n < 1 for n in made):
        raise UsageError(f"{source}: {where} = {raw}: numbers from 1 on")
    if setting.default not in (MISSING, ()) and not made:
        raise UsageError(f"{source}: {where}: give at least one number")
    return made


def _text(setting: "Field[Any]", raw: Any, source: str, where: str) -> str:
    if not isinstance(raw, str):
        raise UsageError(f'{source}: {where} = {raw}: put it in quotes, as in "6.10"')
    choices = setting.metadata.get("choices")
    if choices and raw not in choices:
        raise UsageError(f"{source}: {where} = {raw}: give {', '.join(choices)}{nearest(raw, choices)}")
    if setting.metadata.get("release") and raw and not release_of(raw):
        raise UsageError(f"{source}: {where} = {raw}: give a release, as in 6.12")
    return raw


def _tables(value: Scenario) -> Iterable[str]:
    for name in ("host", "client", "guest"):
        yield "\n".join([f"[{name}]", *_lines(getattr(value, name))])
    for name in TABLES:
        yield from ("\n".join([f"[[{name}]]", *_lines(row, whole=True)]) for row in getattr(value, name))


def _lines(value: Any, whole: bool = False) -> Iterable[str]:
    """Yield `name = value` of what differs from the default; releases always; `whole`: the first settings of a row too."""
    for f in fields(value):
        mine = getattr(value, f.name)
        plain = f.default is MISSING or isinstance(mine, tuple) and any(is_dataclass(x) for x in mine)
        if (
            plain
            or mine == f.default
            and not (f.metadata.get("release") and mine)
            and not (whole and f.name in ("name", "table", "vector", "what", "cpu", "session"))
        ):
            continue
        yield f"{f.name} = {_toml(mine)}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, tuple) else str(value)


def over(seen: Mapping[str, Any], given: Mapping[str, Any]) -> Tree:
    """Return settings with others put over them, table by table; a list of devices replaces the other."""
    made = _copied(seen)
    for name, value in given.items():
        mine = made.get(name)
        made[name] = over(mine, value) if isinstance(mine, dict) and isinstance(value, Mapping) else value
    return made
