"""Which kinds of noise a log may have is told by characters: each kind names those that every match of its sign holds."""

import re._constants as sre  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]

import pytest

from tracekit.parsing import noise

BLANK = {"\n", " "}  # in every log


@pytest.mark.parametrize("kind", noise._KINDS, ids=lambda kind: str(noise._KINDS.index(kind)))
def test_every_match_of_a_sign_holds_its_characters(kind: tuple[str, str, str, str]) -> None:
    marks, sign, *_ = kind
    assert set(marks) == {chr(code) for what, code in parser.parse(sign) if what is sre.LITERAL} - BLANK
