"""The launchers that ship run a multirun's jobs; one whose package is missing says how to get it."""

from __future__ import annotations

import importlib.util

import pytest
import yaml

from supernet.registry import conf_names

PACKAGES = {
    "serial": "hydra",
    "local_joblib": "hydra_plugins.hydra_joblib_launcher",
    "local_submitit": "hydra_plugins.hydra_submitit_launcher",
    "slurm_submitit": "hydra_plugins.hydra_submitit_launcher",
    "local_ray": "hydra_plugins.hydra_ray_launcher",
}
# What differs from the plugins' own defaults.
SETTINGS = {
    "local_joblib": {"n_jobs": 2, "backend": "loky"},
    "local_submitit": {"timeout_min": 1440},
    "slurm_submitit": {"timeout_min": 1440, "max_num_timeout": 20, "gpus_per_node": 1},
    "local_ray": {"ray": {"init": {"address": None}, "remote": {"num_cpus": 1}}},
}
MULTIRUN = ("-m", "supernet.train", "-m")


def installed(name):
    try:
        return importlib.util.find_spec(PACKAGES[name]) is not None
    except ModuleNotFoundError:
        return False


def require(name):
    if not installed(name):
        pytest.skip(f"the optional package of hydra/launcher={name} is not installed")


def test_all_are_known_here():
    assert conf_names("hydra/launcher") == sorted(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_it_composes_with_our_settings_or_says_what_to_install(launch, tmp_path, name):
    done = launch(tmp_path, f"hydra/launcher={name}", "--cfg", "hydra")
    if not installed(name):
        extra = name.rpartition("_")[2]
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert done.stderr.strip().endswith(f"pip install 'litepose-ofa[{extra}]'")
        return
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)["hydra"]["launcher"]
    assert found == {**found, **SETTINGS.get(name, {})}
    assert "Launcher" in found["_target_"]
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("name", ["serial", "local_submitit", "local_ray"])
def test_it_runs_two_jobs(launch, tmp_path, name):
    require(name)
    settings = ("name=two", "train.steps=2", "seed=0,1", f"hydra/launcher={name}")
    done = launch(tmp_path, *settings, launcher=MULTIRUN)
    assert done.returncode == 0, done.stderr
    logs = (tmp_path / "runs/train/two").glob("*/log.jsonl")
    assert sorted(path.parent.name for path in logs) == ["seed=0", "seed=1"]


def test_a_plain_plugin_name_composes_too(launch, tmp_path):
    require("local_joblib")
    done = launch(tmp_path, "hydra/launcher=joblib", "--cfg", "job")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shown", [("--cfg", "job"), ("--info", "defaults"), ("-c", "all")])
def test_showing_the_settings_of_a_multirun_is_refused_in_one_line(launch, tmp_path, shown):
    done = launch(tmp_path, "seed=0,1", *shown, launcher=MULTIRUN)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        f"error: {shown[0]} shows the settings of one run; leave out -m and give one value of each"
    ]
