"""Imports and includes point in one direction: docs/protocols.md for Python, csrc/README.md for C."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "fastrnn"
CSRC = ROOT / "csrc"

# Wheels are tested without the sources.
pytestmark = pytest.mark.skipif(not PACKAGE.is_dir(), reason="needs the source tree")

BASE = {"_types", "_checks", "errors", "_functional_calls", "_functional_impl"}
# What a part may import beside itself. A module that is named nowhere here is part of the library.
MAY_IMPORT = {
    "base": {"base"},
    "reference": {"base"},
    "backend": {"base"},
    "library": {"base", "backend", "library"},
    "tasks": {"base", "backend", "library", "plot"},
    "interop": {"base", "backend", "library"},
    "diagnose": {"base", "backend", "library"},
    "plot": {"base", "backend", "library"},
    "cli": {"base", "backend", "library", "tasks", "interop", "diagnose", "plot"},
}


def part_of(module: str) -> str:
    """Part of the architecture that ``fastrnn.<module>`` belongs to."""
    top = module.partition(".")[0]
    if top in BASE:
        return "base"
    if top == "__main__":
        return "cli"
    return top if top in MAY_IMPORT or top == "_core" else "library"


def is_type_checking(node: ast.stmt) -> bool:
    """Whether a statement is the block that only type checkers execute."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below `node` but those in a TYPE_CHECKING block."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.stmt) and is_type_checking(child)):
            yield child
            yield from executed(child)


def imported(source: str, module: str) -> Iterator[str]:
    """Modules of the package, without ``fastrnn.`` in front, that the source of a module imports."""
    for node in executed(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"fastrnn.{module}: a relative import, line {node.lineno}"
            names = [node.module or ""]
            if node.module == "fastrnn":
                names = [f"fastrnn.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("fastrnn.") for name in names if name.startswith("fastrnn."))


def modules() -> dict[str, str]:
    """Source of every module but the package's own ``__init__``, which exports from all of them."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if name != "__init__":
            found[name] = path.read_text("utf-8")
    return found


def violations(sources: dict[str, str]) -> list[str]:
    """Imports that the table does not allow."""
    return [
        f"fastrnn.{module} ({part_of(module)}) imports fastrnn.{target} ({part_of(target)})"
        for module, source in sources.items()
        for target in imported(source, module)
        if part_of(target) not in MAY_IMPORT[part_of(module)] | {part_of(module)}
    ]


def test_python_imports_point_one_way() -> None:
    sources = modules()
    assert len(sources) > 20
    assert violations(sources) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("layers.linear", "import fastrnn.reference"),
        ("layers.linear", "def f():\n    from fastrnn import _core"),
        ("training", "from fastrnn.tasks import TextGenerator"),
        ("reference.losses", "from fastrnn.backend import active"),
        ("_types", "from fastrnn import layers"),
        ("tasks._texts", "from fastrnn.cli.settings import setting"),
        ("training", "from fastrnn import plot"),
    ],
)
def test_the_rule_notices(module: str, source: str) -> None:
    assert len(violations({module: source})) == 1


def test_type_checking_imports_are_free() -> None:
    assert violations({"errors": "if TYPE_CHECKING:\n    from fastrnn import training"}) == []


# C: a directory or file may include what has a lower rank, or its own. The public header and the
# declarations of the tables are the vocabulary that the rest shares; they know nothing of it.
RANKS = {
    "public header": 0,
    "platform": 1,
    "simd": 2,
    "tables": 2,
    "kernels": 3,
    "isa": 4,
    "dispatch": 5,
    "engine": 6,
    "tests": 7,
}
TABLES = {"kernel_table.h", "cell_list.h", "isa_list.h"}


def c_part_of(path: str) -> str:
    """Part of the C library that a file belongs to, by its path below csrc/."""
    directory, _, name = path.rpartition("/")
    if directory:
        return directory
    if name == "fastrnn.h":
        return "public header"
    if name in TABLES:
        return "tables"
    return "dispatch" if name.startswith("dispatch.") else "engine"


def c_files() -> list[Path]:
    return sorted([*CSRC.rglob("*.c"), *CSRC.rglob("*.h")])


def includes(path: Path, kind: str) -> list[str]:
    """Names that a C file includes in quotes (kind ``""``) or in angle brackets (kind ``<>``)."""
    opening, closing = kind
    pattern = rf"^[ \t]*#[ \t]*include[ \t]*{opening}([^{closing}]+){closing}"
    return re.findall(pattern, path.read_text("utf-8"), re.MULTILINE)


def resolve(path: Path, name: str) -> Path | None:
    """Find an included file as the compiler does: beside the includer, then from csrc/."""
    candidates = [path.parent / name, CSRC / name]
    return next((candidate.resolve() for candidate in candidates if candidate.is_file()), None)


def test_c_includes_point_one_way() -> None:
    files = c_files()
    assert len(files) > 20
    wrong = []
    for path in files:
        part = c_part_of(path.relative_to(CSRC).as_posix())
        for name in includes(path, '""'):
            target = resolve(path, name)
            assert target is not None, f"{path.relative_to(ROOT)} includes {name}, which is not in csrc/"
            target_part = c_part_of(target.relative_to(CSRC.resolve()).as_posix())
            if target_part != part and RANKS[target_part] >= RANKS[part]:
                wrong.append(f"{path.relative_to(ROOT)} ({part}) includes {name} ({target_part})")
    assert wrong == []


def test_c_knows_nothing_of_python() -> None:
    headers = {name for path in c_files() for kind in ('""', "<>") for name in includes(path, kind)}
    assert "stdint.h" in headers
    assert not {name for name in headers if "python" in name.lower() or "numpy" in name.lower()}


def test_cython_sees_one_header_of_the_engine() -> None:
    sources = [PACKAGE / "_core.pyx", *(PACKAGE / "native").glob("*.pxi")]
    seen = {n for p in sources for n in re.findall(r"cdef extern from \"([^\"]+)\"", p.read_text("utf-8"))}
    assert "fastrnn.h" in seen
    assert not [name for name in seen - {"fastrnn.h"} if (CSRC / name).exists()]


def test_isa_units_are_a_guard_and_an_include() -> None:
    for path in sorted((CSRC / "isa").glob("*.c")):
        assert len(path.read_text("utf-8").splitlines()) < 12, path.name
        assert includes(path, '""') == ["kernels/all_tpl.h"], path.name
