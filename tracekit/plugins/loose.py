"""Plugins that are not installed: a file, a package or a folder of them, named by `--plugins` or TRACEKIT_PLUGINS."""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from importlib import metadata, util
from pathlib import Path
from types import ModuleType
from typing import Any

from tracekit import home

VARIABLE = "TRACEKIT_PLUGINS"
GRAMMARS: Mapping[str, str] = {"GRAMMAR": "events", "ENVELOPES": "envelopes"}  # texts of a module, and the folder that they belong into
_VERSION = re.compile(r"^__version__ *= *[\"']([^\"']+)[\"']", re.MULTILINE)  # __version__ = "1.2"


class Loose(metadata.EntryPoint):
    """An entry point of a file; its value is the path."""

    @property
    def path(self) -> Path:
        """Return the file; of a package its `__init__.py`."""
        return Path(self.value)

    @property
    def version(self) -> str:
        """Return what the file says of its version; `?` where it says nothing."""
        try:
            m = _VERSION.search(self.path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return "?"
        return m[1] if m else "?"

    def load(self) -> ModuleType:
        """Import the file, and give it the hooks that it does not have for what it holds. Errors: whatever it raises."""
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no file and no folder {self.path}")
        name = f"tracekit_loose_{self.path.stem}_{_digest(self.value)}"
        inside = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        spec = util.spec_from_file_location(name, self.path, submodule_search_locations=inside)
        if spec is None or spec.loader is None:
            raise ImportError(f"{self.path} is no Python file")
        module = util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        _complete(module, self.name)
        return module


def points() -> list[Loose]:
    """Return the plugins that the environment names."""
    given = os.environ.get(VARIABLE, "")
    return [Loose(name, str(path), "tracekit") for text in given.split(os.pathsep) if text for name, path in _files(Path(text).resolve())]


def point(name: str, value: str) -> metadata.EntryPoint:
    """Return the entry point of a plugin from its name and value: a module, or a file."""
    return (Loose if os.sep in value else metadata.EntryPoint)(name, value, "tracekit")


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield (name, file) of the plugins at a path: of a folder that is no package those inside; a path that is not there stays as it is."""
    if not path.is_dir():
        yield path.stem, path
    elif (path / "__init__.py").is_file():
        yield path.name, path / "__init__.py"
    else:
        for inside in sorted(path.iterdir()):
            if inside.suffix == ".py" and not inside.name.startswith(("_", "test_", "conftest")):
                yield inside.stem, inside
            elif (inside / "__init__.py").is_file():
                yield inside.name, inside / "__init__.py"


def _complete(module: ModuleType, name: str) -> None:
    """Add the hooks that a module lacks, so that a grammar in a string and a function are a plugin."""
    from tracekit.plugins.hooks import hookimpl

    for hook, given in _held(module, name).items():
        if given and not hasattr(module, hook):
            setattr(module, hook, hookimpl(_giving(given)))


def _giving(given: list[Any]) -> Callable[[], list[Any]]:
    def hook() -> list[Any]:
        return given

    return hook


def _held(module: ModuleType, name: str) -> dict[str, list[Any]]:
    """Return what a module defines itself, by the hook that gives it."""
    from tracekit.diagnosing.diagnoses import Diagnosis
    from tracekit.diagnosing.extension import Extension
    from tracekit.picture.lane import LaneSource
    from tracekit.replay.gates import Gate
    from tracekit.replay.model import Model
    from tracekit.replay.whatif import System

    values = list(vars(module).values())
    classes = [v for v in values if isinstance(v, type) and v.__module__ == module.__name__]
    texts = {kind: text for of, kind in GRAMMARS.items() if isinstance(text := getattr(module, of, None), str)}
    return {
        "tracekit_grammars": [_written(texts, name)] if texts else [],
        "tracekit_diagnoses": [v for v in values if isinstance(v, Diagnosis)],
        "tracekit_extensions": [v for v in values if isinstance(v, Extension)],
        "tracekit_models": [v for v in classes if issubclass(v, Model)],
        "tracekit_systems": [v for v in classes if issubclass(v, System)],
        "tracekit_gates": [v for v in values if isinstance(v, Gate)],
        "tracekit_lanes": [v for v in values if isinstance(v, LaneSource)],
        "tracekit_reports": [v for v in classes if callable(getattr(v, "write", None)) and isinstance(getattr(v, "name", None), str)],
    }


def _written(texts: Mapping[str, str], name: str) -> Path:
    """Write grammars into files, where grammars are read from: in the user's cache, or where it is read-only in a temporary folder."""
    folder = home.cache() / f"plugin-{_digest(repr((name, sorted(texts.items()))))}"
    try:
        return _filled(folder, texts, name)
    except OSError:
        return _filled(Path(tempfile.mkdtemp(prefix="tracekit-plugin-")), texts, name)


def _filled(folder: Path, texts: Mapping[str, str], name: str) -> Path:
    for kind, text in texts.items():
        file = folder / kind / f"{name}.lark"
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
    return folder


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()
