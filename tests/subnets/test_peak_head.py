"""Peaks from the graph are the peaks that decoding finds in the maps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from subnets import Subnet, build, save
from subnets.evaluate.__main__ import EvaluateCommand
from subnets.evaluate.__main__ import run as evaluate
from subnets.export.__main__ import run
from subnets.export.formats import relative_difference
from subnets.export.onnx_graph import append_ending, ending, read_manifest
from subnets.export.options import ExportCommand, ExportOptions
from subnets.portable.session import OnnxSession
from subnets.runtime import open_runtime
from supernet import Arch, InputError
from supernet.data.source import DataConfig
from supernet.heads.embedding import merge_passes
from supernet.options import EvaluationOptions
from supernet.pose import DecodeOptions, Skeleton, decode
from supernet.pose.grouping import decode_peaks

SKELETON = Skeleton.load("crowdpose")


def extract(maps: list[np.ndarray], peaks: int) -> list[np.ndarray]:
    """The outputs of the continuation alone."""
    session = onnxruntime.InferenceSession(ending("embedding", peaks, SKELETON).SerializeToString())
    outputs = session.run(None, {"quarter_map": maps[0], "half_map": maps[1]})
    return [np.asarray(value) for value in outputs]


def same_people(maps: list[np.ndarray], peaks: list[np.ndarray]) -> int:
    """Compare people decoded from maps and from peaks; how many there are."""
    options = DecodeOptions(refine=False)
    count = 0
    for index in range(len(maps[0])):
        heat, tags = merge_passes([(maps[0][index], maps[1][index])], SKELETON.flip)
        (expected,) = decode(heat[None], tags[None], SKELETON, options)
        (found,) = decode_peaks(*(value[index : index + 1] for value in peaks), SKELETON, options)
        np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=2e-4)
        np.testing.assert_allclose(found.tags, expected.tags, atol=2e-4)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
        count += len(found)
    return count


def scene(seed: int, shape: tuple[int, int] = (24, 32), batch: int = 2) -> list[np.ndarray]:
    """Smooth random maps with a handful of peaks per joint, and tags in three groups."""
    rng = np.random.default_rng(seed)
    joints, (height, width) = SKELETON.num_joints, shape
    quarter = rng.normal(0, 0.02, (batch, 2 * joints, height, width)).astype(np.float32)
    half = rng.normal(0, 0.02, (batch, joints, 2 * height, 2 * width)).astype(np.float32)
    rows, columns = np.mgrid[: 2 * height, : 2 * width] + 0.5
    for image, joint, person in np.ndindex(batch, joints, 3):
        y, x = rng.uniform(0, 2 * height), rng.uniform(0, 2 * width)
        blob = rng.uniform(0.3, 1) * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8)
        half[image, joint] += blob
        quarter[image, joint] += blob[::2, ::2]
        top, left = int(y / 2), int(x / 2)
        quarter[image, joints + joint, max(0, top - 3) : top + 4, max(0, left - 3) : left + 4] += 3 * person
    return [quarter, half]


def test_the_module_finds_what_decoding_finds() -> None:
    for seed in range(4):
        maps = scene(seed)
        assert same_people(maps, extract(maps, 30)) >= 4


def test_equal_neighbours_and_borders_are_settled_alike() -> None:
    quarter = np.zeros((1, 28, 8, 8), np.float32)
    half = np.zeros((1, 14, 16, 16), np.float32)
    half[0, 0, 5, 5:8] = 1.0
    half[0, 1, 0, 0], half[0, 1, 15, 15], half[0, 1, 0, 15] = 0.9, 0.8, 0.7
    half[0, 2, 3:5, 9] = 0.8
    peaks = extract([quarter, half], 30)
    assert (peaks[0][0, :3] > 0.1).sum(axis=1).tolist() == [1, 3, 1]
    assert peaks[1][0, 0, 0].tolist() == [6.0, 5.5]
    assert (peaks[0][0, 3:] <= 0).all()
    same_people([quarter, half], peaks)


def test_the_file_gives_the_networks_peaks_at_any_size(
    small_net: Subnet, small_onnx: Path, tmp_path: Path
) -> None:
    manifest = replace(read_manifest(small_onnx), peaks=30)
    onnx.save(append_ending(onnx.load(small_onnx), manifest), tmp_path / "peaks.onnx")
    run, maps = open_runtime(tmp_path / "peaks.onnx", "onnxruntime", 1), open_runtime(small_net)
    rng = np.random.default_rng(0)
    for shape in ((1, 3, 96, 96), (2, 3, 64, 128)):
        images = rng.standard_normal(shape, dtype=np.float32)
        outputs = run(images)
        joints = SKELETON.num_joints
        assert [value.shape for value in outputs] == [
            (shape[0], joints, 30),
            (shape[0], joints, 30, 2),
            (shape[0], joints, 30),
        ]
        assert relative_difference([outputs[0]], [extract(maps(images), 30)[0]]) < 1e-4


def test_files_that_end_in_people_or_peaks_are_scored(
    small_arch: Arch, tiny_data: DataConfig, tmp_path: Path
) -> None:
    net = build(replace(small_arch, head_kind="onestage"))
    net.skeleton = SKELETON
    save(net, tmp_path / "net", {"name": "net"})
    options = ExportOptions(latency_rounds=0, bundle=False, score_images=1)
    folder = tmp_path / "out"
    run(ExportCommand(arch=str(tmp_path / "net"), export=options, data=tiny_data), folder)
    assert OnnxSession(folder / "model.onnx").require_manifest().peaks == 30
    maps, people = json.loads((folder / "export.json").read_text())["scores"]
    assert (maps["what"], people["what"]) == ("fp32 (torch)", "fp32 (onnxruntime)")
    assert people["stats"] == pytest.approx(maps["stats"], abs=1e-4)
    assert all(score["decoding"] > 0 for score in (maps, people))
    assert "| decoding, ms |" in (folder / "card.md").read_text()
    found = {}
    for runtime in ("torch", "onnxruntime"):
        config = EvaluateCommand(
            arch=str(folder), name=runtime, data=tiny_data, runtime=runtime, evaluation=EvaluationOptions(2)
        )
        evaluate(config, tmp_path / runtime)
        found[runtime] = json.loads((tmp_path / runtime / "detections" / "out.json").read_text())
    assert len(found["torch"]) == len(found["onnxruntime"]) > 0
    for ours, theirs in zip(found["torch"], found["onnxruntime"], strict=True):
        assert ours["keypoints"] == pytest.approx(theirs["keypoints"], abs=0.01)
    flipped = replace(config, evaluation=EvaluationOptions(2, flip=True))
    with pytest.raises(
        InputError, match=r"net as a file ends in peaks or people; export it with export.peaks=0"
    ):
        evaluate(flipped, tmp_path / "flipped")
