"""Every option of every config group composes in the real command, and wrong ones are refused by name."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from warm import Warm

from supernet.registry import conf_folder, conf_names

Run = Callable[..., subprocess.CompletedProcess[str]]
MODULES = {
    "train": "supernet.train",
    "audit": "supernet.audit",
    "describe": "supernet.describe",
    "search": "search.run",
    "profile": "search.profile",
    "convert": "subnets.convert",
    "export": "subnets.export",
    "finetune": "subnets.finetune",
    "evaluate": "subnets.evaluate",
    "predict": "subnets.predict",
    "benchmark": "subnets.benchmark",
    "topdown": "subnets.topdown",
    "costs": "subnets.costs",
    "compare": "subnets.compare",
    "sweep": "supernet.sweep",
}


def primary(command: str) -> dict[str, object]:
    value = yaml.safe_load((conf_folder(".") / f"{command}.yaml").read_text())
    assert isinstance(value, dict)
    return value


def group_options() -> list[tuple[str, str]]:
    """(command, override) for each option of each group that a primary config chooses from."""
    found = []
    for command in MODULES:
        for entry in primary(command)["defaults"]:  # type: ignore[attr-defined]
            if isinstance(entry, dict):
                ((key, _),) = entry.items()
                group = key.removeprefix("override ").removeprefix("optional ")
                # An experiment is for some commands: see below.
                found += [(command, f"{group}={name}") for name in conf_names(group) if group != "experiment"]
    return found


def experiments() -> list[tuple[str, str]]:
    """(command, override) for each experiment; the first comment line of one names its commands."""
    found = []
    for name in conf_names("experiment"):
        first = (conf_folder("experiment") / f"{name}.yaml").read_text().splitlines()
        commands = next(line for line in first if line.startswith("# commands:")).removeprefix("# commands:")
        found += [(command.strip(), f"experiment={name}") for command in commands.split(",")]
    return found


@pytest.fixture(scope="module")
def run(warm: Warm) -> Run:
    """`run(command, *overrides, cwd=folder)`: a real command."""
    return lambda command, *overrides, cwd: warm.run(MODULES[command], overrides, cwd)


@pytest.mark.parametrize(("command", "override"), [*group_options(), *experiments()])
def test_every_option_composes(run: Run, command: str, override: str, tmp_path: Path) -> None:
    done = run(command, override, "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert isinstance(yaml.safe_load(done.stdout), dict)
    assert not any(tmp_path.iterdir()), "composing must not write"


@pytest.mark.parametrize("command", MODULES)
def test_misspelt_override_is_one_line_and_status_2(run: Run, command: str, tmp_path: Path) -> None:
    done = run(command, "naem=x", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "naem" in done.stderr


def test_setting_of_a_group_that_is_not_chosen_names_the_group(run: Run, tmp_path: Path) -> None:
    given = ("search.batch=2", "data.root=y", "budgets.macs=[0.5]")
    done = run("search", "supernet=photographs", *given, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: data.root=y is a setting of the group data: choose data=... too (")
    assert "synthetic" in line
    # Of a supernet whose data are known it is one of theirs.
    done = run("search", "supernet=x", *given, cwd=tmp_path)
    assert (done.returncode, done.stderr.startswith("error: training run 'x' does not exist")) == (2, True)


def test_parts_of_a_setting_that_is_null_are_refused_by_its_name(run: Run, tmp_path: Path) -> None:
    mix = ("data=mix", "+data@data.sources.p=crowdpose", "data.sources.p.augment={mosaic: 0.3}")
    for key, given in (
        ("data.render", ("data=crowdpose", "data.render={size: 100}")),
        ("data.sources.p.augment", mix),
    ):
        done = run("train", *given, cwd=tmp_path)
        (line,) = done.stderr.splitlines()
        assert (done.returncode, line.startswith(f"error: {key} is null here")) == (2, True)


def test_mistyped_value_names_the_key(run: Run, tmp_path: Path) -> None:
    done = run("train", "seed=soon", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "seed" in done.stderr


def test_unknown_option_lists_what_there_is(run: Run, tmp_path: Path) -> None:
    done = run("train", "data=imagenet", cwd=tmp_path)
    assert done.returncode == 2
    assert "crowdpose" in done.stderr


@pytest.mark.parametrize("command", MODULES)
def test_no_setting_is_hidden_by_a_group(run: Run, command: str, tmp_path: Path) -> None:
    """Hydra takes `key=value` for the choice of a group wherever there is a folder `conf/key`."""
    groups = {path.name for path in conf_folder(".").iterdir() if path.is_dir()}
    chosen = {key for entry in primary(command)["defaults"] if isinstance(entry, dict) for key in entry}  # type: ignore[attr-defined]
    settings = yaml.safe_load(run(command, "--cfg", "job", cwd=tmp_path).stdout)
    assert not (groups - chosen) & set(settings)
