"""Count the imports within the packages of i2i: rooms, floors, arrows and circles, and lines of code.

    python tools/architecture.py [ROOT] [--package i2i.runtime ...]

ROOT is a checkout (default: this one). A room is a file or a folder directly in a package, except ``__init__.py``. An
arrow is an import of one room by another, including type-checking imports and imports within functions. The number of
floors is the length of the longest chain of arrows, and a circle is a group of rooms that import each other in a cycle.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("i2i.runtime", "i2i.runtime.video", "i2i.images")

Arrows = dict[str, set[str]]  # room -> the rooms that it imports


class Import(NamedTuple):
    """One import: the full name of a module or of a name in it, and where it occurs."""

    line: int
    module: str
    at_once: bool  # when the file is imported, not within a function
    typing: bool  # under ``if TYPE_CHECKING``


def imports(path: Path) -> Iterator[Import]:
    """Yield every import of a file; ``from a import b`` is yielded as ``a.b``."""
    yield from _walk(ast.parse(path.read_text(encoding="utf-8"), str(path)), True, False)


def _walk(node: ast.AST, at_once: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(child.lineno, alias.name, at_once, typing) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: imports are absolute here"
            yield from (Import(child.lineno, f"{child.module}.{a.name}", at_once, typing) for a in child.names)
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for body, only_types in ((child.body, True), (child.orelse, typing)):
                for one in body:
                    yield from _walk(ast.Module([one], []), at_once, only_types)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _walk(child, at_once and not inside, typing)


def arrows(root: Path, package: str, files: bool = False) -> Arrows:
    """Return the other rooms of the package that each room imports; with ``files`` each file is a room."""
    base = root.joinpath(*package.split("."))
    modules = {path: _module(path, root) for path in sorted(base.rglob("*.py"))}
    names = set(modules.values())

    def room(module: str) -> str | None:
        while module not in names:  # the name of something in a module
            module = module.rpartition(".")[0]
            if not module.startswith(package):
                return None
        inner = module.removeprefix(package).lstrip(".")
        return (module if files else inner.split(".")[0]) if inner else None

    found: Arrows = {}
    for path, module in modules.items():
        here = room(module)
        if here is None or (files and path.name == "__init__.py"):
            continue
        to = found.setdefault(here, set())
        to |= {there for each in imports(path) if (there := room(each.module)) is not None and there != here}
    return {here: {there for there in to if there in found} for here, to in found.items()}


def _module(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def circles(found: Arrows) -> list[list[str]]:
    """Return the groups of rooms that reach each other (strongly connected components of more than one)."""
    reached = {room: _reached(found, room) for room in found}
    groups = {tuple(sorted(other for other in reached[room] if room in reached[other])) for room in found}
    return sorted(list(group) for group in groups if len(group) > 1)


def _reached(found: Arrows, start: str) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for there in found[todo.pop()] - seen:
            seen.add(there)
            todo.append(there)
    return seen


def floors(found: Arrows) -> dict[str, int]:
    """Return the floor of each room, from 1 on: one above the highest that it imports. A circle counts as one room."""
    group = {room: frozenset(one) for one in circles(found) for room in one}
    height: dict[str, int] = {}

    def measure(room: str) -> int:
        if room not in height:
            one = group.get(room, frozenset([room]))
            below = {there for member in one for there in found[member]} - one
            height.update(dict.fromkeys(one, 1 + max(map(measure, sorted(below)), default=0)))
        return height[room]

    return {room: measure(room) for room in found}


def lines(folder: Path) -> int:
    """Return the lines of all Python files in a folder."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob("*.py"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--package", action="append", help=f"default: {', '.join(PACKAGES)}")
    given = parser.parse_args()
    print("| package | rooms | floors | arrows | circles | files |\n|---|---|---|---|---|---|")
    for package in given.package or PACKAGES:
        found = arrows(given.root, package)
        each = arrows(given.root, package, files=True)
        tops, loops = max(floors(found).values(), default=0), circles(found)
        print(f"| {package} | {len(found)} | {tops} | {sum(map(len, found.values()))} | {len(loops)} | {len(each)} |")
        for loop in loops:
            print(f"circle of rooms: {', '.join(loop)}")
        for loop in circles(each):
            print(f"circle of files: {', '.join(loop)}")
    print(f"lines of the product: {lines(given.root / 'i2i')}, of tests: {lines(given.root / 'tests')}")


if __name__ == "__main__":
    main()
