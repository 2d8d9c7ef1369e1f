"""The ablations' plan: equal costs and recipes, the order of the runs, their commands, locks and folders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from warm import Warm

from experiments.ablations import run as launcher
from experiments.ablations.claims import CLAIMS
from experiments.ablations.plan import CONF, Run, ablations, all_runs
from experiments.ablations.poses import POSES, fitting, write_poses
from subnets.console import register_slug
from subnets.evaluate.__main__ import EvaluateCommand
from subnets.finetune.__main__ import FinetuneCommand
from supernet.cost import count_macs
from supernet.errors import InputError
from supernet.family import load_arch
from supernet.runs.folders import check_run_name

ROOT = Path(__file__).resolve().parents[1]
ARCH = "experiments/ablations/networks/ablation-kernel7.yaml"
RUN = Run(ARCH, 1, "ablation_kernel")
TINY = ("data.poses=null", "data.root=data", "data.render.train=4", "data.render.val=2", "data.render.test=1")


def composed(command: str, *overrides: str) -> dict[str, Any]:
    register_slug()
    OmegaConf.register_new_resolver("run_name", check_run_name, replace=True)
    ConfigStore.instance().store(name="finetune_schema", node=FinetuneCommand)
    ConfigStore.instance().store(name="evaluate_schema", node=EvaluateCommand)
    with initialize_config_module("conf", version_base="1.3"):
        config = compose(command, overrides=[*overrides, f"hydra.searchpath=[file://{CONF}]"])
    value = OmegaConf.to_container(config, resolve=True)
    assert isinstance(value, dict)
    return {str(key): entry for key, entry in value.items()}


def test_every_claim_is_about_networks_that_are_trained() -> None:
    found = ablations()
    assert set(found) == set(CLAIMS)
    for name, claims in CLAIMS.items():
        assert {arm for claim in claims for arm in (claim.first, claim.second)} <= set(found[name].arms)


def test_a_network_of_two_ablations_is_trained_once_and_seeds_come_in_turns() -> None:
    order = all_runs(ablations().values())
    assert len(order) == len(set(order))
    assert sum(run.arm == "kernel7" for run in order) == 3
    assert [run.seed for run in order] == sorted(run.seed for run in order)


@pytest.mark.parametrize("ablation", ["fusion", "raw_outputs", "shrinking"])
def test_networks_of_an_ablation_cost_the_same(ablation: str) -> None:
    first, *others = (count_macs(load_arch(ROOT / arch)) for arch in ablations()[ablation].archs)
    assert all(abs(other / first - 1) < 0.01 for other in others)


def test_ablations_share_recipe_and_data_and_single_runs_the_names_of_multiruns() -> None:
    given = (f"arch={RUN.arch}", "seed=1", f"data.poses={POSES}")
    recipes = [composed("finetune", f"experiment=ablation_{name}", *given) for name in ablations()]
    assert all(recipe == recipes[0] for recipe in recipes)
    assert recipes[0]["name"] == RUN.name
    scored = composed("evaluate", "arch=x", "data=crowds", f"data.poses={POSES}")
    assert scored["data"] == recipes[0]["data"]


def test_commands_of_a_run() -> None:
    train, score = launcher.commands(RUN)
    poses = f"data.poses={POSES}"
    recipe = ("experiment=ablation_kernel", "hydra.mode=RUN", "seed=1")
    assert train == ["-m", "subnets.finetune", f"--config-dir={CONF}", *recipe, f"arch={ARCH}", poses]
    scoring = ("data=crowds", "split=val", "threads=1", "name=ablation-kernel7-1")
    network = "runs/finetune/ablation-kernel7-1/subnet"
    assert score == ["-m", "subnets.evaluate", f"--config-dir={CONF}", *scoring, f"arch={network}", poses]


def test_both_commands_are_asked_and_a_failure_shows_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    one = ["-c", "open('asked', 'a').write('1')"]
    monkeypatch.setattr(launcher, "commands", lambda run: [one, one])
    RUN.network.mkdir(parents=True)
    RUN.scores.mkdir(parents=True)
    (RUN.scores / "results.json").write_text("{}")
    # Finished by the look of it; only the commands know whether by the same settings.
    assert launcher.execute(RUN) is True
    assert Path("asked").read_text() == "11"
    monkeypatch.setattr(launcher, "commands", lambda run: [["-c", "import sys; sys.exit('error: no')"], one])
    assert launcher.execute_all([RUN], workers=1) is False
    assert Path("asked").read_text() == "11"
    assert f"{RUN.name}: error: no (see " in capsys.readouterr().err


def test_a_command_that_outlives_the_launcher_keeps_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    child = (
        "import os, time; open('new', 'w').write(str(os.getpid())); os.rename('new', 'pid'); time.sleep(60)"
    )
    code = (
        "from experiments.ablations import run; from experiments.ablations.plan import Run\n"
        f"run.commands = lambda one: [['-c', {child!r}]]\n"
        f"run.execute({RUN!r})"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)})
    while not Path("pid").exists():
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    assert launcher.execute(RUN) is None
    os.kill(int(Path("pid").read_text()), signal.SIGKILL)
    lock = launcher.claimed(RUN, wait=True)
    assert lock is not None
    assert launcher.claimed(RUN) is None
    lock.close()


def test_a_multirun_lands_where_the_launcher_looks(warm: Warm, tmp_path: Path) -> None:
    recipe = ("experiment=ablation_raw_outputs", *TINY, "train.steps=1", "train.batch_size=2")
    short = (*recipe, "train.validation.images=1", "train.validation.calibration=2")
    # The architectures are found from the repository's root.
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")

    def start(module: str, *given: str) -> None:
        done = warm.run(module, given, tmp_path)
        assert done.returncode == 0, done.stderr

    start("subnets.finetune", f"--config-dir={CONF}", "-m", *short, "hydra.sweeper.params.seed=0")
    runs = [run for run in ablations()["raw_outputs"].runs if run.seed == 0]
    assert len(runs) == 2
    assert all((tmp_path / run.network).is_dir() for run in runs)
    flag, *again = launcher.commands(runs[1])[0]
    assert flag == "-m"
    start(*again, *short[1:])


def test_crowds_of_few_people_of_some_size_are_kept() -> None:
    images = [{"id": i, "width": 200, "height": 100} for i in range(4)]
    people = [{"image_id": 0, "bbox": [0, 0, 9, 40]}, {"image_id": 0, "bbox": [0, 0, 9, 90]}]
    people += [{"image_id": 1, "bbox": [0, 0, 9, 39]}, *({"image_id": 2, "bbox": [0, 0, 9, 80]},) * 6]
    found = fitting({"images": images, "annotations": people, "categories": []})
    assert [image["id"] for image in found["images"]] == [0]
    assert found["annotations"] == people[:2]
    assert found["categories"] == []


def test_poses_of_another_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "other"):
        Path(name).write_text(json.dumps({"images": [], "annotations": [], "name": name}))
    write_poses("one")
    before = POSES.read_bytes()
    write_poses("one")
    with pytest.raises(InputError, match="was made from another file than other"):
        write_poses("other")
    assert POSES.read_bytes() == before
