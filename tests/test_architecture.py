"""The rules of who imports whom."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "lib/perdition"
IMPURE = {"socket", "ssl", "select", "selectors", "threading", "time", "os", "subprocess"}
PURE = [
    "protocols/*.py",
    "identity.py",
    "grammar.py",
    "certificates.py",
    "parameters.py",
    "tls/hello.py",
    "tls/der.py",
    "relay/pipe.py",
]
# From top to bottom; a module imports from its own layer or from lower ones.
LAYERS = [
    {"cli", "__main__", "tools"},
    {"server"},
    {"session"},
    {"protocols", "identity", "maps", "backends", "relay", "config"},
    {"net", "tls", "logs", "grammar", "certificates", "patience", "pam", "parameters"},
    {"outlets", "threads"},
]
# config declares what the others are given, in their words.
EXTRA = {("server", "config"), ("cli", "config"), ("relay", "logs")}


def imports(path: Path) -> set[str]:
    """The modules that a file imports when it runs, not those for type checking only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    return found


def layer(part: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if part in names)


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_import_downwards_only(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part == "__init__":
        return
    for name in imports(path):
        pieces = name.split(".")
        if pieces[0] == "perdition" and len(pieces) > 1 and pieces[1] != "__version__":
            assert layer(pieces[1]) >= layer(part), f"{part} imports {name}"
            if pieces[1] == "config":
                assert part in {"cli", "server", "config", "tools"}


@pytest.mark.parametrize("pattern", PURE)
def test_pure_modules_do_no_io(pattern: str) -> None:
    for path in PACKAGE.glob(pattern):
        assert not IMPURE & imports(path), path


def test_every_folder_is_a_package() -> None:
    for folder in {path.parent for path in MODULES}:
        assert (folder / "__init__.py").exists(), folder
