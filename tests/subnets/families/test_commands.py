"""Comparison networks through the commands of a subnet: costs, export, benchmark, training, evaluation."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_families import SMALL

from subnets.benchmark.__main__ import main as benchmark
from subnets.export.__main__ import main as export
from subnets.families.static import StaticArch
from subnets.finetune.finetuning import finetune
from subnets.folder import load
from subnets.network import build
from subnets.runtime import open_runtime
from subnets.source import open_source
from supernet import InputError
from supernet.data.source import open_split
from supernet.evaluation import Evaluator
from supernet.heads.contract import head_of
from supernet.options import EvaluationOptions
from supernet.runs.log import read_log
from supernet.training.distributed import Ranks
from supernet.training.job import TrainingJob
from supernet.training.options import (
    CheckpointOptions,
    OptimizerOptions,
    TrainOptions,
    ValidationOptions,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A small network of each family as a description."""
    folder = tmp_path_factory.mktemp("described")
    for family, settings in SMALL.items():
        StaticArch(family, (64, 64), settings).save(folder / f"small-{family}.yaml")
    return folder


@pytest.mark.parametrize("family", ["higherhrnet", "efficienthrnet"])
def test_networks_with_tags_train_decode_and_score(family, tiny_data, tmp_path):
    net = build(StaticArch(family, (64, 64), SMALL[family]), 14, seed=0)
    options = TrainOptions(
        steps=20,
        batch_size=4,
        log_every=10,
        optimizer=OptimizerOptions(lr=5e-3, warmup=0, ema=0.0),
        checkpoint=CheckpointOptions(every=20),
        validation=ValidationOptions(every=0, images=2, calibration=4),
    )
    job = TrainingJob(
        tmp_path, replace(tiny_data, workers=0), options, seed=0, ranks=Ranks(torch.device("cpu"))
    )
    assert finetune(job, net) == 0
    first, last = (line["heat_half"] for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "train")
    assert last < first
    trained = load(tmp_path / "subnet")
    assert trained.about["trained"] is True
    evaluator = Evaluator(open_split(tiny_data, "test"), EvaluationOptions(images=2))
    found = evaluator(open_runtime(trained, "torch"), 64, head_of(trained.arch))
    assert set(found.stats) >= {"AP", "AP_hard"}


def test_networks_without_tags_are_not_trained_there(tiny_data, tmp_path):
    net = build(StaticArch("lpn", (64, 64), SMALL["lpn"]), 14)
    job = TrainingJob(tmp_path, tiny_data, TrainOptions(), seed=0, ranks=Ranks(torch.device("cpu")))
    with pytest.raises(InputError, match="only networks that find everybody in an image are trained here"):
        finetune(job, net)


def test_export_of_every_family_equals_torch(described, tmp_path, monkeypatch):
    archs = ",".join(str(described / f"small-{family}.yaml") for family in SMALL)
    # In this process, where other tests have had the tracer imported.
    monkeypatch.chdir(tmp_path)
    given = ["export", f"arch=[{archs}]", "name=all", "export.latency_rounds=1"]
    monkeypatch.setattr(sys, "argv", given)
    export()
    for family in SMALL:
        folder = tmp_path / "runs/export/all" / f"small-{family}"
        record = json.loads((folder / "export.json").read_text())
        assert record["formats"][0]["difference"] < 1e-4
        assert (folder / "predict.py").exists() is (family in ("higherhrnet", "efficienthrnet"))
        opened = open_source(str(folder / "model.onnx"))
        assert opened.arch.family == family
    with pytest.raises(InputError, match=r"works on crops of one person; use python -m subnets\.topdown"):
        open_source(str(tmp_path / "runs/export/all/small-lpn")).require_people()


def test_benchmark_and_costs_list_both_kinds_side_by_side(described, warm, tmp_path, monkeypatch):
    archs = ",".join(str(described / f"small-{family}.yaml") for family in ("higherhrnet", "lpn"))
    settings = ("runtime=onnxruntime", "threads=1", "name=both", "benchmark.rounds=1", "benchmark.warmup=0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmark", f"arch=[{archs}]", *settings])
    benchmark()
    rows = json.loads((tmp_path / "runs/benchmark/both/results.json").read_text())["rows"]
    assert [row["network"] for row in rows] == ["small-higherhrnet", "small-lpn"]
    assert all(row["input_shape"] == [64, 64] and row["macs"] > 0 for row in rows)
    done = warm.run("subnets.costs", ["arch=[litepose-xs,efficienthrnet-h4]"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "882.89" in done.stdout
    assert "1,792.77" in done.stdout
