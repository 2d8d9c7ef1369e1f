"""What README and docs show is what the commands accept, and what is there."""

from __future__ import annotations

import importlib
import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from doc_pages import CONFIGS, DOCS, RECORDS, ROOT, Command, commands, links, write_files
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from supernet.cli import store_schema

SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
MODULES = {target.partition(":")[0]: script.removeprefix("litepose-") for script, target in SCRIPTS.items()}
# The same command on two pages is one.
SHOWN = {c.text: c for page in (*CONFIGS, *RECORDS, *DOCS) for c in commands(page) if c.words}


def test_there_are_commands_to_check() -> None:
    pages = {command.page for command in SHOWN.values()}
    assert {"README.md", "docs/tutorial.md", "docs/data.md", "conf/train.yaml"} <= pages
    assert len(SHOWN) > 80
    assert Command(
        "docs/data.md", "subnets.predict", "source=data/tongs/test arch=largest supernet=tongs name=tongs"
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of settings that docs/data.md tells its reader to write."""
    folder = tmp_path_factory.mktemp("example")
    write_files(ROOT / "docs/data.md", folder)
    return folder / "settings"


@pytest.mark.parametrize("command", SHOWN.values(), ids=str)
def test_the_command_composes(command: Command, settings: Path) -> None:
    """Misspelt keys and values out of range are found; what the reader fills in stands for itself."""
    assert command.module in MODULES, f"no command {command.module}"
    module = importlib.import_module(command.module)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{command.module}.__main__")
    name = MODULES[command.module]
    if hasattr(module, "register_slug"):
        module.register_slug()
    (schema,) = (value for key, value in vars(module).items() if key.endswith("Command"))
    store_schema(name, schema)
    GlobalHydra.instance().clear()
    overrides = [first_of(word) for word in command.words if not word.startswith("hydra")]
    if told := re.search(r"--config-dir[ =](\S+)", command.text):
        given = ROOT / told[1]
        overrides.append(f"hydra.searchpath=[file://{given if given.is_dir() else settings}]")
    with initialize_config_module("conf", version_base="1.3"):
        config = compose(name, overrides)
    for key in re.findall(r"^(\w+): \?\?\?$", OmegaConf.to_yaml(config), re.MULTILINE):
        config[key] = "x"
    assert isinstance(OmegaConf.to_object(config), schema)


def first_of(word: str) -> str:
    """An override as it is; of one that sweeps over values, its first value."""
    override = OverridesParser.create().parse_override(word)
    if not override.is_sweep_override():
        return word
    return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"


def test_every_command_is_documented() -> None:
    pages = [page for page in DOCS if page.name != "settings.md"]
    shown = {command.module for page in pages for command in commands(page)}
    assert shown == set(MODULES)


def test_every_command_stands_in_its_own_help() -> None:
    for module, name in MODULES.items():
        (command, *_) = commands(ROOT / f"conf/{name}.yaml")
        assert command.module == module


@pytest.mark.parametrize("page", [*DOCS, *RECORDS], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for script in re.findall(r"python ((?:experiments|docs)/[\w/]+\.py)", page.read_text()):
        assert (ROOT / script).exists(), f"{page.name} runs {script}"


def test_the_index_names_every_page() -> None:
    index = links(ROOT / "docs/README.md")
    for page in sorted((ROOT / "docs").glob("*.md")):
        assert page.name in index or page.name == "README.md", f"docs/README.md leaves out {page.name}"


def test_the_settings_page_is_what_the_source_says() -> None:
    spec = importlib.util.spec_from_file_location("settings_page", ROOT / "docs/settings.py")
    assert spec is not None
    assert spec.loader is not None
    made: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert (ROOT / "docs/settings.md").read_text() == made.page(), "run: python docs/settings.py"
