"""What is there for speed alone, each with the figure that it earns. Nothing here changes a result.

Measured on 2 cores with the small logs of `benchmarks/batch.py`, old and new in turns; take out what earns less than 3 %.
"""

import gc
from collections.abc import Callable
from concurrent.futures import Future

_SEARCH_AFTER = 200_000  # new objects between two searches for cycles: plugins and rules are some 400,000 and have none


def search_rarely() -> None:
    """Let Python look for cycles of objects rarely: 5 % of the start-up, 3 % of a small log in a batch.

    A replay makes many objects and hardly a cycle, and each search looks at all objects there are.
    """
    gc.set_threshold(_SEARCH_AFTER)


def in_pool(work: Callable[[], None]) -> None:
    """Do some work in a thread of polars' pool: 15 % of a small log in a batch.

    A small log takes a hundred operations on small frames, and asked for from any other thread most of them cost two switches of threads.
    Two columns, since polars does one alone in the thread that asks.
    """
    import polars as pl

    done: Future[None] = Future()

    def run(column: pl.Series) -> pl.Series:
        try:
            work()
            done.set_result(None)
        except BaseException as error:  # what ends the process must not become an error of polars
            done.set_exception(error)
        return column

    pl.DataFrame({"a": [0], "b": [0]}).select(pl.col("a").map_batches(run, return_dtype=pl.Int64), pl.col("b") + 1)
    done.result()
