"""Columns that code names, held against the declarations of tables: what can be resolved strictly, the rest against all columns there are.

Resolved are the rows of `on_<table>` handlers, parameters called as a table that hold a frame, `tables["x"]` and `tables.get("x")`, and what
filters, sorts and loops make of them; and the parameters of functions and methods that are only ever given what is resolved, with the columns
of all tables that they are given. Of what is not resolved (a frame that was joined or renamed) a column must exist in some table, or be made in
that module or in one that it imports from.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

KEEPS = frozenset(("filter", "sort", "unique", "drop_nulls", "head", "tail", "slice", "clear", "reverse", "drop", "limit"))
NAMES_COLUMNS = frozenset(("sort", "unique", "drop_nulls", "select", "group_by", "partition_by", "drop"))
ROUNDS = 3  # how deep what a function is given is followed
PASSES_ROWS = frozenset(("list", "sorted", "reversed", "tuple", "iter"))


@dataclass(frozen=True)
class Known:
    """What a name stands for: a frame, a row or rows of a table, with the columns it has."""

    kind: str
    table: str
    columns: Set[str]


class Module:
    """The columns that one module names. `tables`: name -> all of its columns."""

    def __init__(
        self, tree: ast.Module, tables: Mapping[str, Set[str]], given: Mapping[tuple[str, str], Known], beside: Sequence[ast.Module] = ()
    ) -> None:
        self.tables, self.wrong, self.given = tables, set[tuple[int, str]](), given
        self.calls: dict[tuple[str, str], list[Known | None]] = {}  # (function, parameter) -> what its callers hand over
        self.parameters = {f.name: [a.arg for a in f.args.args] for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)}
        known = frozenset(c for columns in tables.values() for c in columns).union(*map(_made, (tree, *beside)))
        suffixes, prefixes = _suffixes(tree), set[str]().union(*map(_prefixes, (tree, *beside)))
        self.anywhere = known | {c + suffix for c in known for suffix in suffixes} | {prefix + c for c in known for prefix in prefixes}
        self.resolved = 0  # how many names were held against one table
        self._body(tree.body, {})

    def _body(self, body: list[ast.stmt], env: dict[str, Known | None]) -> None:
        for statement in body:
            self._statement(statement, env)

    def _statement(self, s: ast.stmt, env: dict[str, Known | None]) -> None:
        if isinstance(s, ast.FunctionDef):
            self._function(s, env, None)
        elif isinstance(s, ast.ClassDef):
            self._class(s, env)
        elif isinstance(s, ast.Assign | ast.AnnAssign) and s.value is not None:
            found = self._of(s.value, env)
            for target in s.targets if isinstance(s, ast.Assign) else [s.target]:
                self._bind(target, found, env)
        elif isinstance(s, ast.For):
            self._loop(s.target, s.iter, env)
            self._body(s.body, env)
            self._body(s.orelse, env)
        else:
            for child in ast.iter_child_nodes(s):
                if isinstance(child, ast.stmt):
                    self._statement(child, env)
                elif isinstance(child, ast.expr):
                    self._of(child, env)
                else:
                    self._inner(child, env)

    def _inner(self, node: ast.AST, env: dict[str, Known | None]) -> None:
        """What holds statements and is none itself: handlers, `with` items, cases."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self._statement(child, env)
            elif isinstance(child, ast.expr):
                self._of(child, env)
            else:
                self._inner(child, env)

    def _class(self, c: ast.ClassDef, env: dict[str, Known | None]) -> None:
        """Each handler with the rows of its table, and once for each other name that it has (`on_b = on_a`)."""
        functions = {f.name: f for f in c.body if isinstance(f, ast.FunctionDef)}
        heard = [(name, name) for name in functions]
        heard += [
            (t.id, s.value.id)
            for s in c.body
            if isinstance(s, ast.Assign) and isinstance(s.value, ast.Name)
            for t in s.targets
            if isinstance(t, ast.Name)
        ]
        for name, function in heard:
            if function in functions:
                self._function(functions[function], env, name.removeprefix("on_") if name.startswith("on_") else None)

    def _function(self, f: ast.FunctionDef, outer: Mapping[str, Known | None], table: str | None) -> None:
        env = dict(outer)
        for n, a in enumerate((*f.args.args, *f.args.kwonlyargs)):
            shown = ast.unparse(a.annotation) if a.annotation else ""
            env[a.arg] = self._frame(a.arg) if "DataFrame" in shown and "Mapping" not in shown else None
            if table in self.tables and n == 1 and shown == "Row":
                env[a.arg] = Known("row", table, self.tables[table])
            elif shown.startswith(("Row", "Mapping[str, Any]", "pl.DataFrame")) and (f.name, a.arg) in self.given:
                env[a.arg] = self.given[f.name, a.arg]
            elif shown == "Row" or shown.startswith("Mapping[str, Any]"):
                env[a.arg] = Known("row", "", self.anywhere)
        self._body(f.body, env)

    def _frame(self, table: str) -> Known | None:
        return Known("frame", table, self.tables[table]) if table in self.tables else None

    def _bind(self, target: ast.expr, found: Known | None, env: dict[str, Known | None]) -> None:
        if isinstance(target, ast.Name):
            env[target.id] = found
        elif isinstance(target, ast.Tuple | ast.List):
            for part in target.elts:
                self._bind(part, None, env)
        else:
            self._of(target, env)

    def _loop(self, target: ast.expr, of: ast.expr, env: dict[str, Known | None]) -> None:
        found = self._of(of, env)
        self._bind(target, replace(found, kind="row") if found is not None and found.kind == "rows" else None, env)

    def _of(self, e: ast.expr, env: dict[str, Known | None]) -> Known | None:
        """What an expression is, if that can be told; names of columns inside of it are checked."""
        match e:
            case ast.Name(id=name):
                return env.get(name)
            case ast.Attribute(value=value, attr=name):
                return self._attribute(e, self._of(value, env), name)
            case ast.Subscript(value=ast.Name(id="tables"), slice=ast.Constant(value=str(name))):
                return self._table(e, name)
            case ast.Subscript(value=value, slice=index):
                return self._subscript(e, self._of(value, env), index, env)
            case ast.Call():
                return self._call(e, env)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self._of(test, env)
                return self._of(body, env) or self._of(orelse, env)
            case ast.BoolOp(values=values):
                return ([found for v in values if (found := self._of(v, env)) is not None] or [None])[-1]
            case ast.NamedExpr(target=target, value=value):
                env[target.id] = found = self._of(value, env)
                return found
            case (
                ast.ListComp(elt=elt, generators=generators)
                | ast.GeneratorExp(elt=elt, generators=generators)
                | ast.SetComp(elt=elt, generators=generators)
            ):
                return self._comprehension([elt], generators, env)
            case ast.DictComp(key=key, value=value, generators=generators):
                self._comprehension([key, value], generators, env)
                return None
            case ast.Lambda():
                return None
        for child in ast.iter_child_nodes(e):
            if isinstance(child, ast.expr):
                self._of(child, env)
            elif isinstance(child, ast.keyword):
                self._of(child.value, env)
        return None

    def _comprehension(self, elts: list[ast.expr], generators: list[ast.comprehension], env: dict[str, Known | None]) -> Known | None:
        inside = dict(env)
        for g in generators:
            self._loop(g.target, g.iter, inside)
            for condition in g.ifs:
                self._of(condition, inside)
        found = [self._of(elt, inside) for elt in elts]
        return replace(found[0], kind="rows") if len(found) == 1 and found[0] is not None and found[0].kind == "row" else None

    def _attribute(self, e: ast.expr, known: Known | None, name: str) -> None:
        if known is not None and known.kind == "row" and not name.startswith("_") and name not in ("get", "items", "keys", "values"):
            self._check(e, known, name)

    def _subscript(self, e: ast.expr, known: Known | None, index: ast.expr, env: dict[str, Known | None]) -> Known | None:
        names = _texts(index)
        if known is None or names is None:
            self._of(index, env)
            return replace(known, kind="row") if known is not None and known.kind == "rows" else None
        if known.kind in ("row", "frame"):
            for name in names:
                self._check(e, known, name)
            return replace(known, columns=frozenset(names)) if known.kind == "frame" and isinstance(index, ast.List) else None
        return None

    def _call(self, e: ast.Call, env: dict[str, Known | None]) -> Known | None:
        arguments = [self._of(a, env) for a in e.args]
        named = {str(k.arg): self._of(k.value, env) for k in e.keywords}
        self._hand_over(e, arguments, named)
        match e.func:
            case ast.Attribute(value=ast.Name(id="pl"), attr="col"):
                for name in _strings(e.args):
                    self._check(e, Known("row", "", self.anywhere), name)
            case ast.Attribute(value=ast.Name(id="tables"), attr="get") if e.args and isinstance(e.args[0], ast.Constant):
                return self._table(e, str(e.args[0].value))
            case ast.Attribute(value=ast.Name(id="self"), attr="emit"):
                self._emit(e)
            case ast.Attribute(value=value, attr=method):
                known = self._of(value, env)
                if known is not None and known.kind == "frame":
                    return self._method(e, known, method)
                if known is not None and known.kind == "row" and method == "get" and known.table:
                    for name in _strings(e.args[:1]):
                        self._check(e, known, name)
            case ast.Name(id=name) if arguments and arguments[0] is not None:
                first = arguments[0]
                if name in ("rows_of", "sorted_rows") and first.kind == "frame":
                    return replace(first, kind="rows")
                if name == "same_function":
                    return first
                if first.kind == "rows" and name in PASSES_ROWS:
                    return first
                if first.kind == "rows" and name in ("next", "min", "max"):
                    return replace(first, kind="row")
        return None

    def _hand_over(self, e: ast.Call, arguments: list[Known | None], named: Mapping[str, Known | None]) -> None:
        """Note what a function of the module, or a method of the class, is called with."""
        match e.func:
            case ast.Name(id=name):
                parameters = self.parameters.get(name, [])
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                parameters = self.parameters.get(name, [])[1:]
            case _:
                return
        for parameter, known in zip(parameters, arguments, strict=False):
            self.calls.setdefault((name, parameter), []).append(known)
        for parameter in named.keys() & set(parameters):
            self.calls.setdefault((name, parameter), []).append(named[parameter])

    def handed(self) -> dict[tuple[str, str], Known]:
        """Return the parameters whose every argument is resolved, each with the columns of all tables that it is given."""
        return {
            place: Known(known[0].kind, " or ".join(sorted({k.table for k in known})), frozenset[str]().union(*(k.columns for k in known)))
            for place, found in self.calls.items()
            if (known := [k for k in found if k is not None and k.table]) and len(known) == len(found) and len({k.kind for k in known}) == 1
        }

    def _method(self, e: ast.Call, known: Known, method: str) -> Known | None:
        """What a method makes of a frame; the columns that its arguments name are the frame's."""
        if method in KEEPS | NAMES_COLUMNS | {"with_columns"}:
            for argument in (*e.args, *(k.value for k in e.keywords)):
                for node in ast.walk(argument):
                    if isinstance(node, ast.Call) and ast.unparse(node.func) == "pl.col":
                        for name in _strings(node.args):
                            self._check(node, known, name)
        if method in NAMES_COLUMNS:
            for name in _strings(e.args):
                self._check(e, known, name)
        if method in KEEPS:
            return known
        if method == "with_row_index":
            return replace(known, columns=known.columns | set(_strings(e.args) or ["index"]))
        if method == "with_columns":
            made = [_alias(a) for a in e.args] + [k.arg for k in e.keywords]
            return replace(known, columns=known.columns | {m for m in made if m}) if None not in made else None
        if method == "select":
            made = [a.value if isinstance(a, ast.Constant) else _alias(a) for a in e.args] + [k.arg for k in e.keywords]
            return replace(known, columns=frozenset(str(m) for m in made)) if None not in made else None
        named = any(k.arg == "named" for k in e.keywords)
        if method == "to_dicts" or method in ("iter_rows", "rows") and named:
            return replace(known, kind="rows")
        return replace(known, kind="row") if method == "row" and named else None

    def _table(self, e: ast.expr, name: str) -> Known | None:
        if name not in self.tables:
            self.wrong.add((e.lineno, f"{name} is no table"))
        return self._frame(name)

    def _emit(self, e: ast.Call) -> None:
        names = _strings(e.args[:1])
        if names and (known := self._table(e, names[0])) is not None:
            for keyword in e.keywords:
                if keyword.arg is not None:
                    self._check(e, known, keyword.arg)

    def _check(self, e: ast.expr, known: Known, name: str) -> None:
        self.resolved += bool(known.table)
        if name not in known.columns:
            self.wrong.add((e.lineno, f"{name} is no column of {known.table or 'any table'}"))


def wrong_columns(text: str, tables: Mapping[str, Set[str]], beside: Sequence[str] = ()) -> tuple[list[tuple[int, str]], int]:
    """((line, what is wrong) of a module's text, how many names were held against one table). `beside`: texts of what it imports from."""
    tree, given, others = ast.parse(text), dict[tuple[str, str], Known](), list(map(ast.parse, beside))
    for _ in range(ROUNDS):
        given = Module(tree, tables, given, others).handed()
    module = Module(tree, tables, given, others)
    return sorted(module.wrong), module.resolved


def _made(tree: ast.Module) -> frozenset[str]:
    """Names that the module itself gives: aliases, keywords of calls, keys of dictionaries, fields of classes and named tuples, attributes."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found |= {k.arg for k in node.keywords if k.arg}
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("alias", "with_row_index", "rename", "agg"):
                found |= set(_strings(node.args))
            elif isinstance(node.func, ast.Attribute) and node.func.attr in ("Series", "fromkeys"):
                found |= set(_strings(node.args[:1]))
        elif isinstance(node, ast.Dict):
            found |= {k.value for k in node.keys if isinstance(k, ast.Constant) and isinstance(k.value, str)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return frozenset(found)


def _suffixes(tree: ast.Module) -> set[str]:
    """What joins put behind names that both sides have."""
    given = [k.value for n in ast.walk(tree) if isinstance(n, ast.Call) for k in n.keywords if k.arg == "suffix"]
    return {"_right", *_strings(given)}


def _prefixes(tree: ast.Module) -> set[str]:
    """What a module puts before the names of columns that it makes: `alias(f"up_{name}")`, keys of dictionaries."""
    aliases = [
        n.args[0] for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == "alias"
    ]
    written = [*aliases, *(n.key for n in ast.walk(tree) if isinstance(n, ast.DictComp))]
    heads = [w.values[0] for w in written if isinstance(w, ast.JoinedStr) and len(w.values) == 2]
    return set(_strings(heads))


def _alias(e: ast.expr) -> str | None:
    """The name that an expression gets: `.alias("n")`, or that of its column."""
    match e:
        case ast.Call(func=ast.Attribute(attr="alias"), args=[ast.Constant(value=str(name))]):
            return name
        case ast.Call(func=ast.Attribute(value=ast.Name(id="pl"), attr="col"), args=[ast.Constant(value=str(name))]):
            return name
        case ast.Call(func=ast.Attribute(value=value)):
            return _alias(value)
    return None


def _strings(arguments: list[ast.expr]) -> list[str]:
    return list(_each(arguments))


def _each(arguments: list[ast.expr]) -> Iterator[str]:
    for a in arguments:
        if isinstance(a, ast.Constant) and isinstance(a.value, str):
            yield a.value
        elif isinstance(a, ast.List | ast.Tuple):
            yield from _each(a.elts)


def _texts(index: ast.expr) -> list[str] | None:
    """The strings of a subscript; None if it is a number or not known."""
    if isinstance(index, ast.Constant) and isinstance(index.value, str):
        return [index.value]
    if isinstance(index, ast.List) and all(isinstance(x, ast.Constant) and isinstance(x.value, str) for x in index.elts):
        return _strings(index.elts)
    return None
