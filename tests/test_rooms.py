"""The house: which room may import which (CONTRIBUTING.md), and which of them know no torch."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from coded_resnext.paths import PACKAGE

LIBRARY = {"codes", "data", "network", "evaluation", "training", "subnetworks", "early_exit"}
MAY_IMPORT = {  # the root's files always
    "codes": set(),
    "data": set(),
    "network": {"codes", "data"},  # of data how images are prepared
    "evaluation": {"codes", "data", "network"},
    "training": {"codes", "data", "network", "evaluation"},
    "subnetworks": {"codes", "data", "network", "evaluation", "training"},
    "early_exit": {"codes", "data", "network", "evaluation"},
    "reproduction.records": {"training"},  # its parameters, which import no torch
    "reproduction.figures": {"reproduction.records", "codes"},
    "reproduction.measure": {*LIBRARY, "reproduction.records"},
    "explorer": {*LIBRARY, "reproduction.records"},  # above both layers: nothing imports it
    "reproduction.notebooks": {*LIBRARY, "reproduction.records", "reproduction.figures", "reproduction.measure"},
}
MOST_ARROWS = 33  # of the two layers; the explorer stands above both


def room_of(module: str) -> str:
    """Of a module named from the package on: "reproduction.records" of "reproduction.records.kinds"."""
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == "reproduction" else 1]) if len(parts) > 1 else "root"


def imports(file: Path) -> set[str]:
    """The modules of the package that a file imports, anywhere in it."""
    package = ".".join(("coded_resnext", *file.relative_to(PACKAGE).parts[:-1]))
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            inside = PACKAGE.joinpath(*base.split(".")[1:])
            found |= {f"{base}.{name.name}" for name in node.names} if inside.is_dir() else {base}
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            found |= {name for name in names if name.split(".")[0] == "coded_resnext"}
    return {name.removeprefix("coded_resnext.") for name in found}


def arrows() -> set[tuple[str, str]]:
    """(room, room that it imports)."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        room = room_of(".".join(file.relative_to(PACKAGE).with_suffix("").parts))
        if room != "root":
            found |= {(room, other) for module in imports(file) if (other := room_of(module)) not in ("root", room)}
    return found


def test_every_room_imports_what_it_may():
    drawn = arrows()
    assert {room for room, _ in drawn} | {room for _, room in drawn} == set(MAY_IMPORT), "an empty room, or a new one"
    assert not {(room, other) for room, other in drawn if other not in MAY_IMPORT[room]}
    assert sum(room != "explorer" for room, _ in drawn) <= MOST_ARROWS


def test_the_table_has_no_cycle():
    left = dict(MAY_IMPORT)
    while left:
        free = [room for room, needs in left.items() if not needs & left.keys()]
        assert free, f"a cycle among {', '.join(left)}"
        for room in free:
            del left[room]


def test_a_room_is_introduced_and_nothing_else():
    for room in MAY_IMPORT:
        tree = ast.parse(PACKAGE.joinpath(*room.split("."), "__init__.py").read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), room
        assert len(tree.body) == 1, room


@pytest.mark.parametrize("what", ["the root", "codes", "reproduction.records", "reproduction.figures"])
def test_readers_need_no_torch(what):
    """Schemes, records, tables and figures are there in a second, without a network."""
    root = [file for file in PACKAGE.glob("*.py") if file.stem != "__main__"]
    files = root if what == "the root" else PACKAGE.joinpath(*what.split(".")).glob("*.py")
    names = [f"coded_resnext.{'.'.join(file.relative_to(PACKAGE).with_suffix('').parts)}" for file in files]
    script = f"import sys, importlib; [importlib.import_module(n) for n in {names}]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
