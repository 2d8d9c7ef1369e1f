"""Every command that README and docs show is one that the commands accept."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from hydra import compose
from hydra import initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
MODULES = {target.partition(":")[0]: script.removeprefix("litepose-") for script, target in SCRIPTS.items()}


def commands() -> list[tuple[str, str, str]]:
    """(page, module, arguments) of each `python -m package.module ...` line, continuations joined."""
    found = []
    for page in PAGES:
        text = re.sub(r"\\\n\s*", " ", page.read_text())
        for line in text.splitlines():
            match = re.match(r"(?:\s*|.*`)python -m ([a-z]+\.[a-z_]+)([^`]*)", line)
            if match:
                found.append((page.name, match[1], match[2].partition(" #")[0].strip()))
    return found


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 10


@pytest.mark.parametrize(("page", "module", "arguments"), commands())
def test_the_command_composes(page: str, module: str, arguments: str) -> None:
    assert module in MODULES, f"{page} names {module}, which is no command"
    name = MODULES[module]
    overrides = [word for word in shlex.split(arguments) if "=" in word and "..." not in word]
    schema = schema_of(module)
    if hasattr(importlib.import_module(module), "register_slug"):
        importlib.import_module(module).register_slug()
    GlobalHydra.instance().clear()
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    with initialize_config_module("conf", version_base="1.3"):
        compose(name, [re.sub(r"^-m$", "", word) for word in overrides if not sweep(word)])


def sweep(word: str) -> bool:
    """Whether an override lists values to sweep over (a comma outside brackets)."""
    return "," in re.sub(r"\[[^\]]*\]", "", word)


def schema_of(module: str) -> type:
    """The settings dataclass of a command."""
    found = [value for key, value in vars(importlib.import_module(module)).items() if key.endswith("Command")]
    assert len(found) == 1
    schema: type = found[0]
    return schema
