"""Who may import whom, read from the source (docs/contributing.md names the rules)."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What a package may import besides itself; `conf` is data.
ALLOWED = {
    "supernet": {"conf"},
    "subnets": {"conf", "supernet"},
    "search": {"conf", "supernet", "subnets"},
}
COMMANDS = {
    target.partition(":")[0]
    for target in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"].values()
}
# The one door to Hydra, and what it reads a command line with.
HYDRA = {"supernet.cli"}


def modules() -> dict[str, Path]:
    """Every module of the three packages, by dotted name."""
    found = {}
    for package in ALLOWED:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path) -> Iterator[str]:
    """Absolute names of all that a module imports, inside functions and for type checks too."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


MODULES = modules()
IMPORTS = {name: set(imports(name, path)) for name, path in MODULES.items()}


def test_the_packages_and_their_commands_are_found() -> None:
    assert set(MODULES) >= COMMANDS
    assert "supernet.errors" in IMPORTS["supernet.cli"]
    assert "hydra" in IMPORTS["supernet.cli"]


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    ours = {*ALLOWED, "conf", "tests", "experiments"}
    for name in (name for name in MODULES if name.partition(".")[0] == package):
        used = {target.partition(".")[0] for target in IMPORTS[name]} & ours
        assert used <= ALLOWED[package] | {package}, f"{name} imports {used}"


def test_nothing_imports_a_command() -> None:
    for name, found in IMPORTS.items():
        assert not found & COMMANDS - {name}, f"{name} imports {found & COMMANDS}"


def test_only_the_door_imports_hydra() -> None:
    using = {name for name, found in IMPORTS.items() if any(t.partition(".")[0] == "hydra" for t in found)}
    assert using == HYDRA


def test_library_code_does_not_reach_hydra_through_others() -> None:
    reaching = {name for name, found in IMPORTS.items() if found & HYDRA}
    assert reaching - HYDRA <= COMMANDS
