"""Code that is there for speed alone, each part with the time that it saves. Nothing here changes a result.

Measured on 2 cores with the small logs of `benchmarks/batch.py`, old and new in turns; take out what saves less than 3 %.
"""

import atexit
import gc
from collections.abc import Callable
from concurrent.futures import Future

_SEARCH_AFTER = 200_000  # new objects between two collections: plugins and rules are some 400,000 objects without cycles


def search_rarely() -> None:
    """Run Python's cycle collector rarely: saves 5 % of the start-up and 3 % of a small log in a batch.

    A replay creates many objects and hardly a cycle. Each collection visits all objects.
    """
    gc.set_threshold(_SEARCH_AFTER)


def end_without_search() -> None:
    """Have the process end without a search for cycles: saves 15 % of the start-up, the part after its report.

    Python searches all objects more than once before it ends. What is opened is closed, and output is flushed, before that.
    """
    atexit.register(gc.freeze)


def in_pool(work: Callable[[], None]) -> None:
    """Run work in a thread of polars' pool: saves 15 % of a small log in a batch.

    A small log takes a hundred operations on small frames. From any other thread most of them cost two thread switches.
    The frame has two columns, since polars evaluates a single one in the calling thread.
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
