"""Identities by column: only calls that can change whose a pointer is are taken one by one."""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import NamedTuple, cast

import polars as pl

from tracekit import Row
from tracekit_linux.operations.columns import AT, Is, is_a
from tracekit_linux.operations.entities import DOMAIN_REMOVED, REMOVED, UNBOUND, Life, Lives, Session, sessions_of

_KINDS = ("vdev", "pci_dev", "domain")
_REMOVES, _UNBINDS, _REMOVES_DOMAIN = range(len(_KINDS), len(_KINDS) + 3)
_ENDS = {_REMOVES: REMOVED, _UNBINDS: UNBOUND, _REMOVES_DOMAIN: DOMAIN_REMOVED}


class Naming(NamedTuple):
    """A call that names a pointer, or that ends the lives of a device's pointers; `whose` is its request."""

    at: int
    kind: int
    pointer: int
    whose: int | None
    line: int
    ts: int | None
    source: str


class Walked:
    """The identities of a source, given its calls by column (`related`): the same lives as `Identities` finds.

    A pointer that a request has named changes nothing when the request names it again, unless lives ended between (`epoch`), or pointers
    were found to be of two devices: then the rest of each request that is under way is heard whole.
    """

    def __init__(self, nested: pl.DataFrame, source: str) -> None:
        self.calls, self.source = nested, source
        self.known = Lives()
        self.begun: list[int] = []  # of each life, the first call for which it is the life of its pointer
        self.of_request: dict[int, Life] = {}
        self.named = _named(nested)
        self._under_way: dict[int, int] = {}  # request -> the last call in it that names a pointer
        self._whole: set[int] = set()
        self._walk()
        self.number = {id(life): n for n, life in enumerate(self.known.all)}
        self.life = self._lives()

    @property
    def lives(self) -> list[Life]:
        """Return the lives of all pointers, in the order in which they begin."""
        return self.known.all

    def asked_at(self) -> int | None:
        """Return the line of the first request."""
        line: int | None = self.calls.filter("asks")["line"].min()  # type: ignore[assignment]
        return line

    def wired(self) -> set[int]:
        """Return the vectors that calls wire or detach."""
        return set(self.calls.filter(is_a(Is.SIGNAL))["vector"].drop_nulls())

    def sessions(self) -> Iterator[Session]:
        """Yield each time a VFIO user had a device open, where the trace has times."""
        own = self.calls.select("name", "ts", "index", self.own().alias("life")).filter(pl.col("life").is_not_null())
        return sessions_of((name, ts, index, self.lives[life]) for name, ts, index, life in own.iter_rows())

    def own(self) -> pl.Series:
        """Return the number of the life that each call names itself, or that the calls below a request name."""
        return self._own

    def _walk(self) -> None:
        last = dict(self.named.drop_nulls("whose").group_by("whose").agg(pl.last("at")).iter_rows())
        upcoming = map(Naming._make, self._changing().iter_rows())
        following = next(upcoming, None)
        rest: list[Naming] = []
        while following is not None or rest:
            if following is None or (rest and rest[0] <= following):
                naming = heappop(rest)
            else:
                naming, following = following, next(upcoming, None)
            parted = self.known.parted
            self._hear(naming)
            if naming.whose is not None:
                self._under_way[naming.whose] = last[naming.whose]
            if self.known.parted > parted:
                for more in self._rest(naming.at):
                    heappush(rest, more)

    def _hear(self, naming: Naming) -> None:
        at, kind, pointer, whose, *_ = naming
        row = cast(Row, naming)
        if kind in _ENDS:
            self.known.end(pointer, row, _ENDS[kind])
            return
        life = self.known.at(_KINDS[kind], pointer, row)
        if len(self.begun) < len(self.known.all):
            self.begun.append(at)
        if whose is not None:
            before = life if whose == at else self.of_request.get(whose)
            self.of_request[whose] = life if before is None else self.known.unite(before, life, row)
            while len(self.begun) < len(self.known.all):
                self.begun.append(at + 1)

    def _rest(self, at: int) -> Iterator[Naming]:
        """Yield what the requests under way will name."""
        self._under_way = {whose: last for whose, last in self._under_way.items() if last > at}
        news = [whose for whose in self._under_way if whose not in self._whole]
        self._whole.update(news)
        if news:
            rest = self.named.filter(pl.col("whose").is_in(news) & (pl.col("at") > at))
            yield from map(Naming._make, rest.iter_rows())

    def _changing(self) -> pl.DataFrame:
        """Return what is named for the first time in its request and epoch, and what ends lives."""
        ending = _ending(self.calls)
        named = self.named
        key = ["whose", "kind", "pointer"]
        if ending.height:
            epochs = ending.select("at", pl.int_range(1, pl.len() + 1).alias("epoch"))
            named = named.join_asof(epochs.with_columns(pl.col("at") + 1), on="at")
            key.append("epoch")
        return pl.concat([named.unique(key, keep="first", maintain_order=True).select(Naming._fields), ending]).sort("at", "kind")

    def _lives(self) -> pl.Series:
        """Return the number of the life that each call is about: what it or the nearest call around it names or has below."""
        begins = pl.DataFrame(
            {
                "kind": [_KINDS.index(x.kind) for x in self.lives],
                "pointer": [x.pointer for x in self.lives],
                "at": self.begun,
                "life": range(len(self.lives)),
            },
            schema={"kind": pl.Int8, "pointer": pl.UInt64, "at": AT, "life": AT},
        ).sort("at", maintain_order=True)
        last = self.named.unique("at", keep="last", maintain_order=True)
        told = last.join_asof(begins, on="at", by=["kind", "pointer"], check_sortedness=False)
        whole = self.calls.select("at").join(told.select("at", "life"), on="at", how="left", maintain_order="left")["life"]
        of_request = {"at": list(self.of_request), "own": [self.number[id(life)] for life in self.of_request.values()]}
        requests = pl.DataFrame(of_request, schema={"at": AT, "own": AT})
        whole.scatter(requests["at"], requests["own"])
        self._own = whole
        return _inherited(whole, self.calls["up"])


def _inherited(own: pl.Series, up: pl.Series) -> pl.Series:
    """Return the own number of each call, else that of the nearest call around it."""
    left = pl.DataFrame({"at": pl.int_range(len(own), dtype=AT, eager=True), "up": up}).filter(own.is_null() & up.is_not_null())
    found = own.clone()
    while left.height:
        told = left.with_columns(own.gather(left["up"]).alias("life"), up.gather(left["up"]).alias("next"))
        known = told.filter(pl.col("life").is_not_null())
        found.scatter(known["at"], known["life"])
        left = told.filter(pl.col("life").is_null() & pl.col("next").is_not_null()).select("at", up="next")
    return found


def _named(nested: pl.DataFrame) -> pl.DataFrame:
    """Return what calls name, in the order in which it is heard."""
    vdevs, devices = (_naming(nested.filter(pl.col(name).is_not_null()), n, pl.col(name)) for n, name in enumerate(("vdev", "device")))
    answered = nested.filter((pl.col("name") == "msi_get_device_domain") & (pl.col("ret") != 0))
    domains = _naming(answered, _KINDS.index("domain"), pl.col("ret").reinterpret(signed=False))
    if domains.height:
        domains = domains.filter(~pl.col("pointer").is_in(_shared(domains, devices).implode()))
    return pl.concat([vdevs, devices, domains]).sort("at", "kind")


def _naming(nested: pl.DataFrame, kind: int | pl.Expr, pointer: pl.Expr) -> pl.DataFrame:
    kinds = pl.lit(kind) if isinstance(kind, int) else kind
    whose = pl.col("request").alias("whose")
    return nested.select("at", kinds.cast(pl.Int8).alias("kind"), pointer.alias("pointer"), whose, "line", "ts", "source")


def _shared(domains: pl.DataFrame, devices: pl.DataFrame) -> pl.Series:
    """Return the domains that serve several devices, as the one global PCI/MSI domain does: they identify none."""
    asked, about = (f.select("whose", "pointer").drop_nulls("whose").unique() for f in (domains, devices))
    users = asked.join(about.rename({"pointer": "device"}), on="whose").group_by("pointer").agg(pl.col("device").n_unique())
    return users.filter(pl.col("device") > 1)["pointer"]


def _ending(nested: pl.DataFrame) -> pl.DataFrame:
    """Return the calls that end lives of a device's pointers."""
    unbinding = pl.col("up_setup").is_null() & ~pl.col("up_setting").fill_null(False)
    kind = pl.when(is_a(Is.REMOVAL)).then(_REMOVES).when(unbinding).then(_UNBINDS).otherwise(_REMOVES_DOMAIN)
    own = nested.filter(is_a(Is.REMOVAL, Is.DOMAIN_REMOVAL) & pl.col("device").is_not_null())
    return _naming(own, kind, pl.col("device"))
