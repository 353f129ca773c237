"""Arguments and numbers by column are those that one text gives, whatever stands in it."""

import random

import polars as pl
import pytest
from tracekit_linux.calls.arguments import fields, number, numbers, pairs_of

PLAIN = ("dev=0xff11", "index=3", "arg1=-1", "x=a=b", "_n=7")
ODD = ("", " ", "bare", "=5", "a=", 'name="msi-x, 2"', "data={1,2}", "p:q=1", "pdev=0x1,", "mode=0 [ALLOW_LEGACY]", "é=1", "n=\t2", "a-b=c")
NUMBERS = (
    *("0", "-0", "+5", "007", "12 ", "1_0", "", "-", "+-5", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "٣"),
    *("0x10", "0xff11000000001000", "0xffffffffffffffff", "0x", "0x+5", "0x-5", "0XFF", "0x1_0", "0x1ffffffffffffffff", "1e5", "none"),
)


@pytest.mark.parametrize("seed", range(40))
def test_pairs_of_any_texts(seed):
    rnd = random.Random(seed)
    some = (*PLAIN, *rnd.sample(ODD, rnd.choice((0, 0, 1, 3))))
    texts = [rnd.choice((None, " ".join(rnd.choices(some, k=rnd.randint(0, 5))))) for _ in range(rnd.randint(1, 8))]
    expected = [(n, name, text) for n, args in enumerate(texts) for name, text in fields(args)]
    assert pairs_of(pl.Series("args", texts, dtype=pl.String)).rows() == expected


def test_numbers_of_any_texts():
    assert numbers(pl.Series("text", [*NUMBERS, None])).to_list() == [*map(number, NUMBERS), None]
