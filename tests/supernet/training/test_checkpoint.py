"""Checkpoint files: what they hold, what is refused, which are kept."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from supernet import InputError, SearchSpace, Supernet
from supernet.pose.skeletons import Skeleton
from supernet.runs.snapshot import Snapshot, load_weights, read_snapshot, write_snapshot
from supernet.training.checkpoint import CheckpointFolder, find_checkpoint, load_supernet, supernet_about
from supernet.training.options import OptimizerOptions
from supernet.training.state import TrainingState


def make_state(net):
    return TrainingState(net, OptimizerOptions(), supernet_about(net))


@pytest.fixture
def state(space):
    state = make_state(Supernet(space, seed=2))
    state.gradient.buffer.normal_(generator=torch.Generator().manual_seed(0))
    state.optimizer.step()
    assert state.ema is not None
    state.ema.update(0)
    state.step = 7
    return state


@pytest.fixture
def saved(state, tmp_path):
    folder = CheckpointFolder(tmp_path / "run/checkpoints")
    return folder.save(7, state.snapshot({"data": {"train_split": "train"}}))


def test_a_state_comes_back_bit_for_bit(state, saved, space):
    fresh = make_state(Supernet(space, seed=9))
    state.meters.add({"loss": 1 / 3})
    state.best = {"best": (0.123456789, 5)}
    write_snapshot(saved, state.snapshot({}))
    fresh.restore(saved)
    mine, theirs = state.snapshot({}), fresh.snapshot({})
    assert mine.meta == theirs.meta
    assert all(torch.equal(value, theirs.tensors[name]) for name, value in mine.tensors.items())
    assert fresh.step == 7
    assert fresh.meters.means() == state.meters.means()


def test_load_supernet_gives_the_averaged_weights(state, saved):
    found = load_supernet(saved.parents[1])
    assert found.step == 7
    assert found.path == saved
    assert found.config["data"]["train_split"] == "train"
    known = found.provenance()
    assert (known["supernet"], known["training_steps"]) == (str(saved), 7)
    assert known["training"]["split"] == "train"
    assert not found.net.training
    assert state.ema is not None
    for mine, theirs in zip(found.net.parameters(), state.ema.net.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    for mine, theirs in zip(load_supernet(saved).net.parameters(), found.net.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_old_ones_go_and_the_best_stay(state, tmp_path):
    folder = CheckpointFolder(tmp_path, keep=2)
    for step in (1, 2, 3):
        state.step = step
        folder.save(step, state.snapshot({}))
        if step < 3:
            folder.mark_best("best", step)
    state.step = 4
    folder.save(4, state.snapshot({}))
    assert folder.steps() == [3, 4]
    best = folder.best()
    assert best is not None
    assert read_snapshot(best).meta["step"] == 2
    assert folder.best("best-smallest") is None


def test_another_space_is_refused_with_the_difference(state, saved, space):
    other = SearchSpace.from_dict({**space.to_dict(), "stem": [4, 16], "name": "other"})
    with pytest.raises(InputError, match=r"stem is \[4, 8\] there, \[4, 16\] here \(written by version 0"):
        make_state(Supernet(other)).restore(saved)
    with pytest.raises(InputError, match="num_joints is 14 there, 17 here"):
        make_state(Supernet(space, 17)).restore(saved)


def test_another_code_version_is_refused_with_the_difference(state, space, tmp_path):
    snapshot = state.snapshot({})
    weights = snapshot.part("model")
    weights["stem.conv.gate"] = weights.pop("stem.conv.conv.weight")
    with pytest.raises(InputError) as caught:
        load_weights(state.net, state.about, weights, {**snapshot.meta, "version": "9.0"}, tmp_path)
    assert "tensor stem.conv.conv.weight is missing; tensor stem.conv.gate is not known here" in str(
        caught.value
    )
    assert "written by version 9.0, this is 0.1.0" in str(caught.value)


def test_another_schema_is_refused(state, tmp_path):
    snapshot = state.snapshot({})
    write_snapshot(
        tmp_path / "new", Snapshot(snapshot.tensors, {**snapshot.meta, "schema": 99, "version": "9"})
    )
    with pytest.raises(InputError, match="has schema 99, written by version 9; this version reads schema 1"):
        read_snapshot(tmp_path / "new")


@pytest.mark.parametrize(
    "change",
    [
        {"skipped": "record"},
        {"skipped": [1]},
        {"skipped": None},
        {"best": {"best": 3}},
        {"best": []},
        {"meters": {"loss": [1.0, 0]}},
        {"meters": 3},
        {"step": None},
        {"total": "x"},
    ],
)
def test_a_state_of_the_wrong_form_is_named(state, saved, space, change):
    known = state.snapshot({})
    write_snapshot(saved, Snapshot(known.tensors, {**known.meta, **change}))
    with pytest.raises(InputError, match=r"step-000000007\.safetensors does not say where its run stood"):
        make_state(Supernet(space)).restore(saved)


@pytest.mark.parametrize("size", [0, 4, 100, 5000, -1])
def test_a_truncated_file_is_named(saved, size):
    data = saved.read_bytes()
    saved.write_bytes(data[:size])
    with pytest.raises(InputError, match=r"step-000000007\.safetensors cannot be read .* remove it"):
        read_snapshot(saved)


def test_other_files_are_no_checkpoints(tmp_path):
    save_file({"a": torch.zeros(1)}, str(tmp_path / "a.safetensors"))
    with pytest.raises(InputError, match="is not a training checkpoint"):
        read_snapshot(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="does not exist"):
        read_snapshot(tmp_path / "b.safetensors")


def test_runs_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="training run 'nope' does not exist"):
        find_checkpoint("nope")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no checkpoint 'best' yet"):
        find_checkpoint("empty")
    with pytest.raises(InputError, match="'first' is not one of best"):
        find_checkpoint("empty", "first")


def test_a_name_is_looked_up_in_runs_train(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    saved.parents[1].rename(tmp_path / "runs" / "train")
    (tmp_path / "runs/train").rename(tmp_path / "runs/x")
    (tmp_path / "runs/train").mkdir()
    (tmp_path / "runs/x").rename(tmp_path / "runs/train/mine")
    assert find_checkpoint("mine", "last").name == "step-000000007.safetensors"


def test_what_a_damaged_checkpoint_says(tmp_path):
    net = Supernet(SearchSpace.load("nano"))
    net.skeleton = Skeleton.load("crowdpose")
    about = {**supernet_about(net), "config": {"seed": 1}, "step": 3}
    weights = {f"model.{name}": value for name, value in net.named_parameters()}
    path = tmp_path / "a.safetensors"

    def refused(**changes):
        write_snapshot(path, Snapshot(weights, {**about, **changes}))
        with pytest.raises(InputError) as error:
            load_supernet(path)
        return str(error.value)

    assert "step: expected a number of steps, found '3'" in refused(step="3")
    assert "config: expected the settings of the run" in refused(config=[])
    # A description that asks for gigabytes is refused before a network is built.
    wide = net.space.to_dict()
    wide["stages"] = [{**stage, "width": [2048]} for stage in wide["stages"]]
    assert "[2048, 64, 1, 1] here" in refused(space=wide)
    seventeen = Skeleton.load("coco").to_dict()
    assert "it has 14 joints, its skeleton 'coco' 17" in refused(skeleton=seventeen)

    write_snapshot(path, Snapshot(weights, about))
    content = path.read_bytes()
    assert load_supernet(path).step == 3
    broken = []
    for place in (-1, -1000, len(content) // 2):
        broken.append(bytearray(content))
        broken[-1][place] ^= 4
    # The description as well: how far it was trained, with which settings, for which joints.
    for old, new in ((b"step", b"stop"), (b"_knee", b"_knie"), (rb"seed\": 1", rb"seed\": 2")):
        assert old in content
        broken.append(content.replace(old, new))
    for damaged in broken:
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="what it holds is not what was written"):
            load_supernet(path)
    path.write_bytes(content.replace(rb"\"step\": 3", rb"\"kind\": 3"))
    with pytest.raises(InputError, match="key 'kind' is there more than once"):
        load_supernet(path)
