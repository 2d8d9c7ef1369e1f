"""The command: a whole search on a small supernet, resumed, shared, refused."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import found_by, run, settings
from warm import Warm

from supernet import Arch, InputError

ROOT = Path(__file__).resolve().parents[2]


def test_everything_is_written(finished: Path) -> None:
    value = json.loads((finished / "candidates.json").read_text())
    assert value["schema"] == 1
    numbers = [candidate["number"] for candidate in value["candidates"]]
    # Six searched, and two random ones unless the search met them before.
    assert numbers == list(range(len(numbers)))
    assert 6 <= len(numbers) <= 8
    assert set(value["chosen"]) == {"small", "large"}
    lines = (finished / "candidates.csv").read_text().splitlines()
    assert len(lines) == 1 + len(numbers)
    assert lines[0].startswith("number,origin,label,round,AP,")
    report = (finished / "report.html").read_text()
    assert "http" not in report.replace("http-equiv", "")
    assert report.count("data:image/png;base64,") >= 2
    assert (finished / "accuracy_macs.png").stat().st_size > 5000


def test_the_storage_is_what_was_written(finished: Path) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(finished / "study.journal")))
    # The one study that is left in the storage.
    study = optuna.load_study(study_name=None, storage=storage)
    trials = study.get_trials()
    written = json.loads((finished / "candidates.json").read_text())["candidates"]
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * len(written)
    for trial, one in zip(trials, written, strict=True):
        assert trial.values == [one["stats"]["AP"], one["costs"]["macs"]]
        assert trial.user_attrs["codes"] == one["codes"]
        assert trial.user_attrs["stats"] == one["stats"]
        arch = Arch.from_dict(trial.user_attrs["arch"])
        assert trial.params["resolution"] == arch.resolution
        assert trial.params["stages.3.depth"] == arch.stages[3].depth
    assert study.metric_names == ["AP", "macs"]


def test_subnets_are_those_of_the_search(trained: Path, finished: Path) -> None:
    import torch

    from search.session import open_session
    from subnets import load
    from supernet.cost import count_macs

    value = json.loads((finished / "candidates.json").read_text())
    session = open_session(settings(trained))
    for budget in session.problem.budgets:
        net = load(finished / "subnets" / budget.name)
        one = value["candidates"][value["chosen"][budget.name]]
        assert count_macs(net.arch) == one["costs"]["macs"] <= dict(budget.limits)["macs"]
        assert (session.problem.space.encode([net.arch])[0] == one["codes"]).all()
        assert net.about["val"]["AP"] == one["stats"]["AP"]
        session.scores.evaluate.calibrate(net.arch)
        images = torch.rand(1, 3, net.arch.resolution, net.arch.resolution)
        with torch.no_grad():
            for mine, theirs in zip(net(images), session.scores.trained.net(images, net.arch), strict=True):
                assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_a_second_start_changes_nothing(
    trained: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from supernet.evaluation import SupernetEvaluator

    def never(self: Any, arch: Arch) -> None:
        raise AssertionError("evaluated again")

    monkeypatch.setattr(SupernetEvaluator, "__call__", never)
    before = {
        p: p.read_bytes() for p in finished.rglob("*") if p.suffix in (".safetensors", ".journal", ".json")
    }
    run(settings(trained), finished)
    assert {p: p.read_bytes() for p in before} == before


def test_other_settings_are_refused(trained: Path, finished: Path) -> None:
    with pytest.raises(InputError, match=r"other settings .*seed: 0 there, 1 now"):
        run(settings(trained, seed=1), finished)


def test_workers_share_the_command(trained: Path, finished: Path, tmp_path: Path) -> None:
    run(settings(trained, workers=2, lease=20.0), tmp_path / "s")
    assert found_by(tmp_path / "s") == found_by(finished)


def test_the_same_command_started_many_times(trained: Path, finished: Path, tmp_path: Path) -> None:
    """In one folder, at the same moment: all of them end well, with the result of one."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["search.session", "search.report.page", "search.study.worker"])
    started = [processes.Process(target=run, args=(settings(trained), tmp_path / "s")) for _ in range(5)]
    for process in started:
        process.start()
    for process in started:
        process.join(timeout=300)
    assert [process.exitcode for process in started] == [0] * 5
    assert found_by(tmp_path / "s") == found_by(finished)


def test_warm_start_from_another_search(trained: Path, finished: Path, tmp_path: Path) -> None:
    front = json.loads((finished / "candidates.json").read_text())["front"]
    config = settings(trained, warm_start=[str(finished / "candidates.json")], baseline=0)
    run(config, tmp_path / "s")
    found = json.loads((tmp_path / "s" / "candidates.json").read_text())["candidates"]
    assert [one["origin"] for one in found[: len(front)]] == ["warm start"] * len(front)
    assert len(found) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"front": []}, r"the front in .*candidates\.json is empty"),
        ({"front": 3}, "holds no candidates"),
        ({"candidates": "text"}, "rows|codes|no candidates"),
    ],
)
def test_warm_start_from_a_damaged_search(
    finished: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    from search.session import warm_start
    from supernet import SearchSpace

    value = json.loads((finished / "candidates.json").read_text())
    file = tmp_path / "candidates.json"
    file.write_text(json.dumps({**value, **changes}))
    with pytest.raises(InputError, match=message):
        warm_start([str(file)], SearchSpace.load("nano"))
    if "front" not in changes:
        for one in value["candidates"]:
            one["codes"] = "abc"
        file.write_text(json.dumps(value))
        with pytest.raises(InputError, match=r"the codes in .*candidates\.json: codes of space"):
            warm_start([str(file)], SearchSpace.load("nano"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"supernet": "nowhere"}, "training run 'nowhere' does not exist"),
        ({"strategy": "magic"}, "choose from predictor, evolution, random"),
        (
            {"strategy": "predictor", "strategy_options": {"initial": 4}},
            "initial=4 must be a whole number, 10 or more",
        ),
        ({"budgets": {"macs": ["1k"]}}, "below the smallest subnet of space 'nano'; reachable"),
        ({"budgets": {}}, "no budget given"),
        ({"budgets": {"latency_ms": [3]}}, "name a measured device with latency="),
        ({"latency": "nowhere.json"}, "latency table nowhere.json does not exist"),
        ({"accelerator": "abacus"}, "accelerator=abacus cannot be used"),
        ({"accelerator": "meta"}, "accelerator=meta cannot be used"),
        ({"warm_start": ["litepose-s"]}, "litepose-s is not in space 'nano': resolution 448"),
        ({"warm_start": ["missing.yaml"]}, "missing.yaml does not exist"),
    ],
)
def test_bad_settings_leave_nothing_behind(
    trained: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(settings(trained, **changes), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_table_of_another_space(trained: Path, tmp_path: Path) -> None:
    from search.devices.measurements import Measurements
    from search.devices.options import MeasureOptions
    from search.devices.profiling import make_design
    from supernet import SearchSpace

    space = SearchSpace.load("tiny")
    design = make_design(space, 14, MeasureOptions(parts=30, networks=10), 0)
    times = np.ones((len(design.parts), 2)), np.ones((len(design.archs), 2))
    file = tmp_path / "latency.json"
    Measurements(space, 14, {}, design.sources, design.places, times[0], design.codes, times[1]).save(file)
    config = settings(trained, latency=str(file), budgets={"latency_ms": [3]})
    with pytest.raises(InputError, match="measured for space 'tiny', whose resolution has no 64"):
        run(config, tmp_path / "s")


def test_an_empty_split(trained: Path, tmp_path: Path) -> None:
    from supernet.data.source import DataConfig

    root = tmp_path / "data"
    for part in ("json", "images"):
        (root / part).mkdir(parents=True)
    for split, keep in (("train", True), ("val", False)):
        value = json.loads((trained / "data" / "json" / f"crowdpose_{split}.json").read_text())
        for image in value["images"]:
            os.link(trained / "data" / "images" / image["file_name"], root / "images" / image["file_name"])
        value["annotations"] = value["annotations"] if keep else []
        (root / "json" / f"crowdpose_{split}.json").write_text(json.dumps(value))
    data = DataConfig(root=str(root), workers=0)
    with pytest.raises(InputError, match="nobody to score"):
        run(settings(trained, data=data), tmp_path / "s")
    (root / "json" / "crowdpose_val.json").write_text(json.dumps({**value, "images": [], "annotations": []}))
    with pytest.raises(InputError, match="val"):
        run(settings(trained, data=data), tmp_path / "s")


def test_the_command_line(warm: Warm, trained: Path, tmp_path: Path) -> None:
    done = warm.run("search.run", [f"supernet={trained / 'run'}", "budgets.macs=[1k]"], tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: budget '1k' of 1 k MACs is below")
    assert len(done.stderr.splitlines()) == 1
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
