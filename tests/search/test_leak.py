"""Which images a search is scored on: told apart between workers, and held against those of the training."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import run, settings

from search.scores import leak_warning, trained_on
from supernet import InputError
from supernet.data.options import MixSource
from supernet.data.source import DataConfig, open_split


@pytest.fixture
def data(trained: Path) -> DataConfig:
    return DataConfig(root=str(trained / "data"), workers=0)


def test_a_leak_is_told(
    trained: Path, data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, val = open_split(data, "train"), open_split(data, "val")
    assert leak_warning(train, val) is None
    assert "data leak: 4 of 4 images" in str(leak_warning(val, val))
    # The images of a mix have other names than alone.
    mix = open_split(DataConfig(skeleton="union", sources={"one": MixSource(root=data.root)}), "val")
    assert mix.records[0].file_name != val.records[0].file_name
    assert "data leak: 4 of 4 images" in str(leak_warning(mix, val))
    # A copy is the same image, and so is one that is not there to be compared.
    shutil.copytree(trained / "data", tmp_path / "other")
    copied = open_split(replace(data, root=str(tmp_path / "other")), "val")
    seen = open_split(data, "val")
    assert "4 of 4" in str(leak_warning(seen, copied))
    Path(copied.image_name(0)).unlink()
    assert "4 of 4" in str(leak_warning(seen, copied))
    # Equal numbers of other images are no leak, nor equal numbers and names.
    for index in (0, 1):
        Path(copied.image_name(index)).write_bytes(Path(train.image_name(index)).read_bytes())
    assert "2 of 4" in str(leak_warning(seen, copied))
    copied.records = tuple(
        replace(record, file_name=f"other/{record.file_name}") for record in copied.records
    )
    assert leak_warning(seen, copied) is None
    leaky = replace(data, val_split="train")
    run(settings(trained, data=leaky, baseline=0, evaluations=2), tmp_path / "s")
    assert "data leak: 8 of 8" in capsys.readouterr().err
    assert "data leak" in (tmp_path / "s" / "report.html").read_text()


@pytest.mark.parametrize("spelling", ["relative", "absolute", "dots", "gone", "elsewhere"])
def test_the_split_of_the_training_counts_however_its_folder_is_written(
    data: DataConfig, spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(data.root)
    monkeypatch.chdir(root.parent)
    roots = {
        "relative": root.name,
        "absolute": str(root),
        "dots": f"./{root.name}/../{root.name}",
        "gone": "/nowhere/data",
        "elsewhere": str(tmp_path / "copy"),
    }
    if spelling == "elsewhere":
        shutil.copytree(root, tmp_path / "copy")
    known: dict[str, Any] = {"root": roots[spelling], "train_split": "trainval"}
    here = replace(data, root=str(root) if spelling == "relative" else root.name)
    seen = trained_on(known, here, open_split(here, "train"))
    assert len(seen) == 12
    assert "4 of 4" in str(leak_warning(seen, open_split(here, "val")))


def test_data_without_the_trainings_split_is_no_error(data: DataConfig) -> None:
    known = {"root": "/nowhere", "train_split": "train2017"}
    train = open_split(data, "train")
    assert len(train) == 8
    assert trained_on(known, data, train) is trained_on(None, data, train) is train


def test_the_split_that_is_open_is_not_read_again(data: DataConfig) -> None:
    train = open_split(data, "train")
    assert trained_on({"root": data.root, "train_split": "train"}, data, train) is train


def remove_last(value: dict[str, Any]) -> None:
    gone = value["images"].pop()["id"]
    value["annotations"] = [one for one in value["annotations"] if one["image_id"] != gone]


def move_a_joint(value: dict[str, Any]) -> None:
    value["annotations"][0]["keypoints"][0] += 1


def test_a_worker_with_other_images_is_refused(trained: Path, tmp_path: Path) -> None:
    """Its settings are equal, but its host has fewer images, or people elsewhere in them."""
    shared = {"storage": str(tmp_path / "study.journal"), "baseline": 0, "evaluations": 2}
    other = tmp_path / "data"
    shutil.copytree(trained / "data", other)
    here = DataConfig(root=str(trained / "data"), workers=0)
    there = DataConfig(root=str(other), workers=0)
    run(settings(trained, data=here, **shared), tmp_path / "here")
    # A copy is as good as the original.
    run(settings(trained, data=there, **shared), tmp_path / "there")
    for split, change, differing in (
        ("val", remove_last, "scored images"),
        ("val", move_a_joint, "scored images"),
        ("train", remove_last, "calibration images"),
    ):
        file = other / "json" / f"crowdpose_{split}.json"
        before = file.read_text()
        value = json.loads(before)
        change(value)
        file.write_text(json.dumps(value))
        with pytest.raises(InputError, match=rf"has other settings \({differing}\)"):
            run(settings(trained, data=there, **shared), tmp_path / change.__name__ / split)
        file.write_text(before)
