"""Continuing a network from inherited weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore

from subnets import build, load
from subnets.finetune.__main__ import FinetuneCommand
from subnets.finetune.finetuning import finetune, fresh, result_table
from subnets.network import fuse
from subnets.source import open_source
from supernet import InputError
from supernet.runs.log import read_log
from supernet.train import TrainCommand
from supernet.training.distributed import Ranks
from supernet.training.job import TrainingJob
from supernet.training.options import CheckpointOptions, OptimizerOptions, TrainOptions, ValidationOptions
from supernet.training.trainer import Trainer

ROOT = Path(__file__).parents[2]
OPTIONS = TrainOptions(
    steps=4,
    batch_size=2,
    log_every=2,
    optimizer=OptimizerOptions(lr=1e-2, warmup=0, ema=0.5),
    checkpoint=CheckpointOptions(every=2),
    validation=ValidationOptions(every=2, images=0, calibration=4),
)


@pytest.fixture
def run(tiny_data, small_folder):
    """Fine-tunes a fresh copy of the small network in a folder."""

    def start(folder, options=OPTIONS, teacher=None):
        job = TrainingJob(
            folder, replace(tiny_data, workers=0), options, seed=0, ranks=Ranks(torch.device("cpu"))
        )
        return finetune(job, load(small_folder), teacher)

    return start


def weights(folder):
    return load(folder / "subnet").state_dict()


def test_a_longer_training_replaces_the_result(run, tmp_path):
    run(tmp_path)
    before = weights(tmp_path)
    run(tmp_path, replace(OPTIONS, steps=6))
    assert json.loads((tmp_path / "finetune.json").read_text())["steps"] == 6
    after = weights(tmp_path)
    assert not torch.equal(before["stem.conv.conv.weight"], after["stem.conv.conv.weight"])


def test_the_result_is_a_calibrated_network_with_figures_of_before_and_after(run, small_net, tmp_path):
    assert run(tmp_path) == 0
    found = load(tmp_path / "subnet")
    assert found.arch == small_net.arch
    assert found.skeleton == small_net.skeleton
    result = json.loads((tmp_path / "finetune.json").read_text())
    assert result["steps"] == 4
    assert set(result["inherited"]) == set(result["finetuned"]) == {"AP", "AR"}
    assert found.about["finetune"]["finetuned"] == result["finetuned"]
    assert found.about["name"] == "small"
    before, after = small_net.state_dict(), found.state_dict()
    assert not torch.equal(before["stem.conv.conv.weight"], after["stem.conv.conv.weight"])
    assert not torch.equal(before["stem.conv.norm.running_mean"], after["stem.conv.norm.running_mean"])
    kinds = [(line["kind"], line["step"]) for line in read_log(tmp_path / "log.jsonl")]
    assert kinds == [("train", 2), ("validation", 2), ("train", 4), ("validation", 4)]
    assert result_table(tmp_path).row_count == 2


def test_a_teacher_adds_its_heatmaps_to_what_is_learnt(run, small_net, tmp_path):
    alone = replace(OPTIONS, steps=1, validation=ValidationOptions(every=0, images=2, calibration=4))
    run(tmp_path / "alone", alone)
    run(tmp_path / "taught", alone, teacher=load_copy(small_net))
    (first,), (second,) = (read_log(tmp_path / name / "log.jsonl") for name in ("alone", "taught"))
    assert "distillation" not in first
    assert second["distillation"] > 0
    assert second["loss"] == pytest.approx(first["loss"] + second["distillation"], rel=1e-4)


def load_copy(net):
    import copy

    return copy.deepcopy(net)


def test_a_broken_run_goes_on_exactly(run, tmp_path, monkeypatch):
    run(tmp_path / "whole")
    original = Trainer._train_step

    def broken(self, batch, stop):
        if self.state.step == 3:
            raise RuntimeError("killed")
        return original(self, batch, stop)

    monkeypatch.setattr(Trainer, "_train_step", broken)
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path / "broken")
    monkeypatch.setattr(Trainer, "_train_step", original)
    run(tmp_path / "broken")
    mine, theirs = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    assert (tmp_path / "whole/finetune.json").read_text() == (tmp_path / "broken/finetune.json").read_text()


def test_fused_networks_are_refused(tiny_data, small_net, tmp_path):
    job = TrainingJob(tmp_path, tiny_data, OPTIONS, seed=0, ranks=Ranks(torch.device("cpu")))
    with pytest.raises(InputError, match="fused batch norms cannot be trained"):
        finetune(job, fuse(small_net))


def test_the_command(warm, tiny_data, small_folder, tmp_path):
    settings = (
        "train.steps=2",
        "train.batch_size=2",
        "train.validation.images=2",
        "train.validation.calibration=2",
    )
    data = ("data=crowdpose", f"data.root={tiny_data.root}", "data.workers=0", "threads=1")
    done = warm.run("subnets.finetune", [f"arch={small_folder}", "name=more", *data, *settings], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "inherited" in done.stdout
    assert "finetuned" in done.stdout
    assert (tmp_path / "runs/finetune/more/subnet/model.safetensors").exists()


def test_random_weights_follow_the_seed_and_given_ones_stay(small_arch, small_folder, tmp_path):
    small_arch.save(tmp_path / "a.yaml")
    first, again, other = (fresh(open_source(str(tmp_path / "a.yaml")), seed) for seed in (1, 1, 2))
    name = "stem.conv.conv.weight"
    assert torch.equal(first.state_dict()[name], build(small_arch, seed=1).state_dict()[name])
    assert torch.equal(first.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])
    kept = fresh(open_source(str(small_folder)), 1)
    assert torch.equal(kept.state_dict()[name], load(small_folder).state_dict()[name])


@pytest.mark.parametrize(("tuning", "training"), [("finetune_demo", "demo"), ("finetune", "gpu")])
def test_the_recipes_go_on_with_the_targets_and_losses_of_training(tuning, training):
    def recipe(command, schema, train):
        ConfigStore.instance().store(name=f"{command}_schema", node=schema)
        with initialize_config_module("conf", version_base="1.3"):
            return compose(command, overrides=[f"train={train}"]).train

    mine, theirs = recipe("finetune", FinetuneCommand, tuning), recipe("train", TrainCommand, training)
    assert (mine.sigma, mine.loss) == (theirs.sigma, theirs.loss)
