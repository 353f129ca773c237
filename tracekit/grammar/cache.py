"""Lowered rules kept by digest: beside the grammars of a wheel, or in the cache of the user."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracekit import home
from tracekit.grammar.marks import UNMARKED, Marks, packed
from tracekit.grammar.rules import Grammars, Rule, built_in_folder

if TYPE_CHECKING:
    pass


def digest_of(places: Iterable[tuple[Path, Path]]) -> str:
    """Return what the lowered rules depend on: this code, the files, and the folders of plugins, which errors and rules for lark name."""
    here, built_in = Path(__file__).parent, built_in_folder()
    h = hashlib.blake2b(digest_size=16)
    for folder, f in [*((here, f) for f in sorted(here.glob("*.py"))), (here, built_in / "common.lark"), *places]:
        name = f"{f.parent.name}/{f.name}" if folder in (here, built_in) else str(f)
        h.update(f.read_bytes() + b"\0" + name.encode() + b"\0")
    return h.hexdigest()


def _cache_files(digest: str) -> list[Path]:
    """Return where lowered rules may lie: beside the shipped grammars (written when the wheel is built), then the user's cache."""
    return [built_in_folder() / "lowered.json", home.cache() / f"grammars-{digest}.json"]


def cached_rules(digest: str) -> Grammars | None:
    """Return the lowered rules of this digest, or None where none are kept or a file of them is damaged."""
    for path in _cache_files(digest):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if data.get("digest") == digest:
            return grammars_from_json(data)
    return None


def keep(grammars: Grammars) -> None:
    """Write the rules into the cache of the user; a home that cannot be written to is no error."""
    path = _cache_files(grammars.digest)[-1]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(grammars_to_json(grammars), encoding="utf-8")
        partial.replace(path)
    except OSError:
        return  # a read-only home only costs the time of lowering again


def grammars_to_json(grammars: Grammars) -> str:
    """Return the lowered rules as text, for the cache."""
    pack = {n: [{**vars(r), "marks": packed(r.marks)} for r in getattr(grammars, n).values()] for n in ("events", "envelopes")}
    notes = {n: [(str(folder), text) for folder, text in getattr(grammars, n)] for n in ("errors", "warnings")}
    return json.dumps({"digest": grammars.digest, **pack, **notes})


def grammars_from_json(data: Mapping[str, Any]) -> Grammars:
    """Return the inverse of `grammars_to_json`, given the parsed text."""
    events, envelopes = ({r["name"]: _rule(r) for r in data[part]} for part in ("events", "envelopes"))
    errors, warnings = (tuple((Path(folder), text) for folder, text in data[part]) for part in ("errors", "warnings"))
    return Grammars(events, envelopes, data["digest"], errors, warnings)


def _rule(data: Mapping[str, Any]) -> Rule:
    return Rule(
        **{**_frozen(data), "groups": _frozen(data["groups"]), "marks": Marks(**_frozen(data["marks"])) if data["marks"] else UNMARKED}
    )


def _frozen(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object of JSON as rules hold it: each list is a tuple."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
