"""Settings as the user wrote them, in a file or as options: one entry per value, with its origin."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracekit.errors import UsageError, nearest

KEYS = ("select", "ignore", "baseline", "fail-on", "severity", "set", "suppress")
SUPPRESS = ("code", "device", "fingerprint", "reason", "until")


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one value. `name`: of a severity the diagnosis, of a setting `vfio.lost-on-resize.timeout_s`; else empty."""

    key: str
    value: Any
    origin: str  # the file, or the option
    name: str = ""


def of_file(path: Path) -> list[Entry]:
    """Read the settings of a file. Errors: UsageError that names the file, the key and the nearest name."""
    import tomllib

    try:
        told: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise UsageError(f"{path}: cannot be read: {e.strerror}") from e
    except ValueError as e:
        raise UsageError(f"{path}: is no TOML: {e}") from e
    if path.name == "pyproject.toml":
        told = told.get("tool", {}).get("tracekit", {})
    return list(_entries(told, path))


def of_options(
    select: Sequence[str],
    ignore: Sequence[str],
    severity: Sequence[str],
    settings: Sequence[str],
    baseline: str | None,
    fail_on: str | None = None,
) -> list[Entry]:
    """Return what the options say. Errors: UsageError."""
    made = [Entry("select", _split(select), "--select")] if select else []
    made += [Entry("ignore", _split(ignore), "--ignore")] if ignore else []
    made += [Entry("severity", value, "--severity", name) for name, value in (_pair("--severity", s) for s in severity)]
    made += [Entry("set", value, "--set", name) for name, value in (_pair("--set", s) for s in settings)]
    made += [Entry("baseline", baseline, "--baseline")] if baseline else []
    return made + ([Entry("fail-on", fail_on, "--fail-on")] if fail_on else [])


def together(file: Sequence[Entry], options: Sequence[Entry]) -> list[Entry]:
    """Return what holds: an option takes the place of the file's value; `--ignore` adds to the file's."""
    kept = {(e.key, e.name) for e in options if e.key not in ("ignore", "suppress")}
    return [*(e for e in file if (e.key, e.name) not in kept), *options]


def _entries(told: Mapping[str, Any], path: Path) -> Iterator[Entry]:
    for key, value in told.items():
        if key not in KEYS:
            raise UsageError(f"{path}: no key is called {key}{nearest(key, KEYS)}")
        if key in ("select", "ignore"):
            yield Entry(key, _texts(value, key, path), str(path))
        elif key == "baseline":
            yield Entry(key, str(path.parent / _kind(value, str, key, path)), str(path))
        elif key == "fail-on":
            yield Entry(key, _kind(value, str, key, path), str(path))
        elif key == "suppress":
            yield from (Entry(key, _suppression(s, path), str(path)) for s in _kind(value, list, key, path))
        else:
            yield from (Entry(key, v, str(path), n) for n, v in _flat(_kind(value, dict, key, path)))


def _suppression(told: Any, path: Path) -> Mapping[str, Any]:
    given: Mapping[str, Any] = _kind(told, dict, "suppress", path)
    for key in given:
        if key not in SUPPRESS:
            raise UsageError(f"{path}: suppress: no key is called {key}{nearest(key, SUPPRESS)}")
    return given


def _flat(told: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value): `vfio.lost-on-resize.timeout_s = 60` is a table in a table in TOML."""
    for name, value in told.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _texts(value: Any, key: str, path: Path) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else _kind(value, list, key, path)
    return tuple(_kind(v, str, key, path) for v in given)


def _kind(value: Any, kind: type, key: str, path: Path) -> Any:
    if not isinstance(value, kind):
        named = {"list": "a list", "dict": "a table", "str": "a text"}[kind.__name__]
        raise UsageError(f"{path}: {key} is {named}, not {value!r}")
    return value


def _split(given: Sequence[str]) -> tuple[str, ...]:
    return tuple(part.strip() for text in given for part in text.split(",") if part.strip())


def _pair(option: str, text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name or not value:
        shown = "MSI-001=low" if option == "--severity" else "vfio.lost-on-resize.timeout_s=60"
        raise UsageError(f"{option} {text}: give NAME=VALUE, as in {shown}")
    return name.strip(), value.strip()
