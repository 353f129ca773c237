"""The packages and their imports as a picture: `python docs/rooms.py` writes it into docs/architecture.md, `--check` compares.

The picture is Mermaid, which code hosts draw. An arrow means "imports". `common` stands for the modules directly in `tracekit/`:
values that several packages use. Every package may import them.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import grimp

PAGE = Path(__file__).resolve().parent / "architecture.md"
BEGIN, END = "<!-- rooms: written by docs/rooms.py -->\n", "<!-- rooms: end -->\n"
FAMILIES = ("irq", "linux", "msi", "reports", "systems", "vfio", "xen")
PART = ("machines", "models", "diagnoses")


def package_of(module: str) -> str:
    """Return the package of a module (`reading`), its own name if it stands alone (`pipeline`), else `common`."""
    name = module.split(".")[1]
    return name if name in (*PACKAGES, *ALONE) else "common"


def picture() -> str:
    """Return the Mermaid text of all packages and arrows, and of a family of plugins inside."""
    drawn = sorted({(package_of(a), package_of(b)) for a, b in imports("tracekit")})
    inside = sorted({(part(a), part(b)) for f in FAMILIES for a, b in imports(f"tracekit_{f}")})
    return "\n".join(["```mermaid", "flowchart TD", *arrows(drawn), *family(inside), "```"]) + "\n"


def arrows(pairs: list[tuple[str, str]]) -> Iterator[str]:
    """Yield the arrows of the core."""
    yield f'    common["modules that every package may import: {", ".join(COMMON)}"]'
    yield from (f"    {a} --> {b}" for a, b in pairs if a != b and b != "common")
    yield '    families["families in plugins/"] --> public["from tracekit import ..."]'


def family(pairs: list[tuple[str, str]]) -> Iterator[str]:
    """Yield one family, as it is inside."""
    yield '    subgraph families_inside["inside a family"]'
    yield from (f"        f_{a}[{a}] --> f_{b}[{b}]" for a, b in pairs if a != b and a != "family" and b != "family")
    yield "    end"


def part(module: str) -> str:
    """Return the part of a family that a module is in."""
    names = module.split(".")
    return names[1] if len(names) > 1 and names[1] in PART else "family"


def imports(package: str) -> Iterator[tuple[str, str]]:
    """Yield (importer, imported) inside a package; what only types need is left out."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    for module in graph.modules:
        yield from (
            (module, other)
            for other in graph.find_modules_directly_imported_by(module)
            if package not in (other, module) and "__main__" not in module
        )


PACKAGES = sorted(p.parent.name for p in (PAGE.parent.parent / "tracekit").glob("*/__init__.py"))
ALONE = ("pipeline", "evidence", "testing")
COMMON = sorted({p.stem for p in (PAGE.parent.parent / "tracekit").glob("[a-z]*.py")} - {*ALONE})


def main() -> int:
    """Write the picture into the page, or check it; exit status 1 where it is not true."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    drawn = text[:before] + picture() + text[after:]
    if "--check" in sys.argv:
        return int(drawn != text)
    PAGE.write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
