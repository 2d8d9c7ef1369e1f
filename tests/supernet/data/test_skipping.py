"""`data.on_error=skip` from the data set to the score: what is left out is told and not scored."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from supernet import InputError
from supernet.data.opening import open_dataset
from supernet.data.options import DataOptions
from supernet.evaluation import Evaluator, calibration_batches
from supernet.heads.embedding import EMBEDDING
from supernet.options import EvaluationOptions
from supernet.training.distributed import Ranks
from supernet.training.options import ValidationOptions
from supernet.training.validation import SharedScoring


def empty_maps(images: np.ndarray) -> list[np.ndarray]:
    """A network that sees nothing."""
    count, _, height, width = images.shape
    shapes = ((count, 28, height // 4, width // 4), (count, 14, height // 2, width // 2))
    return [np.zeros(shape, np.float32) for shape in shapes]


def opened(root: Path, on_error: str):
    """The training split, in which nothing was looked at but the annotations."""
    return open_dataset(DataOptions(root=str(root), on_error=on_error, verify="none"), "train")


def test_an_image_that_breaks_on_reading_is_left_out_and_named(crowdpose_root, caplog):
    (crowdpose_root / "images/103.jpg").write_bytes(b"no picture")
    with caplog.at_level(logging.WARNING):
        evaluator = Evaluator(opened(crowdpose_root, "skip"), EvaluationOptions())
    assert "image 103" in caplog.text
    assert evaluator.image_ids == [100, 101, 102, *range(104, 110)]
    assert {one["id"] for one in evaluator.ground_truth["images"]} == set(evaluator.image_ids)
    assert evaluator(empty_maps, 64, EMBEDDING).stats["AP"] == 0
    batches = list(calibration_batches(opened(crowdpose_root, "skip"), 64, images=10, batch_size=3))
    assert [batch.shape for batch in batches] == [(3, 3, 64, 64)] * 3


def lengthen(root: Path, image_id: int) -> None:
    """Make an image of the training split 40 times as wide as high."""
    path = root / "json/crowdpose_train.json"
    doc = json.loads(path.read_text())
    doc["annotations"] = [one for one in doc["annotations"] if one["image_id"] != image_id]
    for entry in doc["images"]:
        if entry["id"] == image_id:
            entry["width"], entry["height"] = 400, 10
    path.write_text(json.dumps(doc))
    cv2.imwrite(str(root / f"images/{image_id}.jpg"), np.zeros((10, 400, 3), np.uint8))


def test_an_image_too_long_for_the_network_is_left_out_and_listed(crowdpose_root, caplog):
    lengthen(crowdpose_root, 104)
    (crowdpose_root / "images/103.jpg").write_bytes(b"no picture")
    with caplog.at_level(logging.WARNING):
        evaluator = Evaluator(opened(crowdpose_root, "skip"), EvaluationOptions())
    assert evaluator.image_ids == [100, 101, 102, *range(105, 110)]
    assert evaluator(empty_maps, 64, EMBEDDING).stats["AP"] == 0
    assert [one.record for one in evaluator.dataset.skipped] == ["image 104", "image 103"]
    assert evaluator.described == "crowdpose-train, 8 images (2 records left out)"
    for told in ("400 x 10 pixels is over 32 times as long as wide", "103.jpg"):
        assert caplog.text.count(told) == 1
    # What was filtered once is taken as it is.
    again = Evaluator(evaluator.dataset, EvaluationOptions())
    assert (again.image_ids, again.dataset.skipped) == (evaluator.image_ids, evaluator.dataset.skipped)


def test_an_image_too_long_for_the_network_is_named(crowdpose_root):
    lengthen(crowdpose_root, 104)
    dataset = opened(crowdpose_root, "raise")
    with pytest.raises(InputError, match=r"crowdpose-train: image 104: an image of 400 x 10 .*on_error=skip"):
        Evaluator(dataset, EvaluationOptions())
    # Training and calibration crop it.
    assert len(list(calibration_batches(dataset, 64, images=10, batch_size=5))) == 2


def test_validation_in_training_scores_and_draws_the_same_images(crowdpose_root):
    (crowdpose_root / "images/103.jpg").write_bytes(b"no picture")
    options = ValidationOptions(images=0)
    scoring = SharedScoring(opened(crowdpose_root, "skip"), options, Ranks(torch.device("cpu")))
    ids = [record.image_id for record in scoring.dataset.records]
    assert ids == [100, 101, 102, *range(104, 110)]
    assert scoring.evaluator is not None
    assert scoring.evaluator.image_ids == ids


def test_what_calibration_leaves_out_is_not_added_to_the_caller_s_list(crowdpose_root):
    (crowdpose_root / "images/103.jpg").write_bytes(b"no picture")
    dataset = opened(crowdpose_root, "skip")
    assert len(list(calibration_batches(dataset, 64, images=10, batch_size=3))) == 3
    assert dataset.skipped == []


def test_without_skipping_it_is_an_error(crowdpose_root):
    (crowdpose_root / "images/103.jpg").write_bytes(b"no picture")
    evaluator = Evaluator(opened(crowdpose_root, "raise"), EvaluationOptions())
    with pytest.raises(InputError, match=r"103\.jpg"):
        evaluator(empty_maps, 64, EMBEDDING)


def test_nothing_left_is_an_error(crowdpose_root):
    for path in (crowdpose_root / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="none of its 10 images can be read"):
        Evaluator(opened(crowdpose_root, "skip"), EvaluationOptions())


def test_records_left_out_on_opening_are_told(crowdpose_root, caplog):
    path = crowdpose_root / "json/crowdpose_train.json"
    doc = json.loads(path.read_text())
    doc["images"][2]["width"] = "wide"
    path.write_text(json.dumps(doc))
    with caplog.at_level(logging.WARNING):
        assert len(opened(crowdpose_root, "skip")) == 9
    assert "records left out (data.on_error=skip), the first:" in caplog.text
