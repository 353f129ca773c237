"""Tokens that stand for values, and the file that says which stands for which: the only way back."""

import json
import os
import re
import secrets
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import count
from pathlib import Path

from tracekit.errors import UsageError

SCHEMA = "tracekit.redaction/1"
_FOLDED = ("mac", "uuid", "ip", "host", "domain", "wwn")  # kinds whose letters may be of either case

TOKEN = re.compile(r"(?:mac|ip|host|user|domain|vm|serial|uuid|wwn|path|case)-[0-9a-f]{10}")
_WORD = re.compile("[a-f]{3}")  # `mac-76348bad8d` would make a complaint of its line


@dataclass
class Tokens:
    """Give each value a token by a secret key, and remember which: the same value has the same token wherever the key is the same.

    Without the key nobody finds a value by trying all that there are.
    """

    key: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    values: dict[str, str] = field(default_factory=dict)  # token -> value

    @classmethod
    def kept(cls, file: Path | None) -> "Tokens":
        """Return the tokens that a file keeps, or new ones where there is no such file. Errors: UsageError where it holds no map."""
        if file is None or not file.exists():
            return cls()
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            return cls(bytes.fromhex(told["key"]), dict(told["values"]))
        except OSError as error:
            raise UsageError(f"cannot read {file}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{file}: is no redaction map") from error

    def of(self, kind: str, value: str) -> str:
        """Return the token of a value, as in `host-3f09c2a71b`."""
        told = value.casefold() if kind in _FOLDED else value
        text = f"{kind}\0{told}".encode("utf-8", "surrogateescape")
        digests = (blake2b(text + b"\0" * n, key=self.key, digest_size=5).hexdigest() for n in count())
        token = f"{kind}-{next(d for d in digests if not _WORD.search(d))}"
        self.values.setdefault(token, value)
        return token

    def keep(self, file: Path) -> None:
        """Write key and values, readable by the user alone. Errors: UsageError where that is not possible."""
        told = {"schema": SCHEMA, "key": self.key.hex(), "values": dict(sorted(self.values.items()))}
        fresh = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
                out.write(json.dumps(told, indent=1) + "\n")  # ASCII: a value may hold bytes that are no UTF-8
            os.replace(fresh, file)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise UsageError(f"cannot write {file}: {error.strerror}") from error
