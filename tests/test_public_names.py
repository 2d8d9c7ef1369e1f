"""Names that packages import on first use, and those that experiments import, are where they say."""

import ast
import importlib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ["supernet", "supernet.data", "supernet.pose", "subnets", "search"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_lazy_name_is_there(package):
    module = importlib.import_module(package)
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None


@cache
def names_of(module):
    """What a module's text binds, and its submodules; without running it."""
    path = ROOT / module.replace(".", "/")
    found = {one.stem for one in path.iterdir()} if path.is_dir() else set()
    file = path / "__init__.py" if "__init__" in found else path.with_suffix(".py")
    text = "" if path.is_dir() and not file.exists() else file.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def test_experiments_import_what_there_is():
    """Most of them no other test runs."""
    missing = []
    for path in sorted((ROOT / "experiments").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            module = getattr(node, "module", None) or ""
            if not isinstance(node, ast.ImportFrom) or module.split(".")[0] not in {"experiments", *PACKAGES}:
                continue
            try:
                absent = {name.name for name in node.names} - names_of(module)
            except FileNotFoundError:
                absent = {module}
            missing += [f"{path.relative_to(ROOT)}:{node.lineno}: {name}" for name in sorted(absent)]
    assert missing == []
