"""decode.h gives the people that Python gives, and survives everything that a network can put out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.deploy import c_decoder
from experiments.deploy.c_decoder import MAPS, OUTPUTS, PEAKS, Decoder, crowded, outputs, wild
from subnets import Subnet
from subnets.export.bundle import decoder_header, write_porting
from subnets.portable.manifest import Manifest
from subnets.runtime import torch_runtime
from supernet.errors import InputError
from supernet.heads.embedding import merge_passes
from supernet.pose import DecodeOptions, People, Skeleton, decode, decode_peaks
from supernet.pose.peaks import find_peaks

CROWDPOSE = Skeleton.load("crowdpose")
RULES = ("hungarian", "greedy", "first")

pytestmark = pytest.mark.skipif(c_decoder.compiler() is None, reason="there is no C compiler")


@pytest.fixture(scope="module")
def decoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Decoder]:
    folder = tmp_path_factory.mktemp("c")
    return {rule: Decoder(folder / rule, CROWDPOSE, DecodeOptions(matching=rule)) for rule in RULES}


def assert_same(found: People | None, wanted: People) -> None:
    assert found is not None
    assert len(found) == len(wanted)
    assert np.array_equal(found.scores, wanted.scores)
    assert np.array_equal(found.tags, wanted.tags, equal_nan=True)
    assert np.allclose(found.keypoints, wanted.keypoints, atol=1e-3, rtol=0)


@pytest.mark.parametrize("rule", RULES)
def test_the_same_people_from_outputs(decoders: dict[str, Decoder], rule: str) -> None:
    rng = np.random.default_rng(0)
    cases = [outputs(rng, int(people), (12, 16)) for people in rng.integers(0, 9, 20)]
    for maps, found in zip(cases, decoders[rule]((OUTPUTS, maps) for maps in cases), strict=True):
        heat, tags = merge_passes([maps], CROWDPOSE.flip)
        (wanted,) = decode(heat[None], tags[None], options=DecodeOptions(matching=rule))
        assert found is not None
        assert len(found) == len(wanted)
        assert np.allclose(found.scores, wanted.scores, atol=1e-6)
        assert np.allclose(found.keypoints, wanted.keypoints, atol=1e-3, rtol=0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_same_people_from_anything(decoders: dict[str, Decoder], rule: str) -> None:
    rng = np.random.default_rng(1)
    cases = [*(wild(rng) for _ in range(300)), crowded(rng)]
    assert len(find_peaks(cases[-1][0], 0.1, 99_999).row) == 14 * 10_000
    for case, found in zip(cases, decoders[rule]((MAPS, case) for case in cases), strict=True):
        options = DecodeOptions(matching=rule)
        (wanted,) = decode(case[0][None], case[1][None, ..., None], options=options)
        assert_same(found, wanted)


def test_outputs_that_are_no_numbers_are_survived(decoders: dict[str, Decoder]) -> None:
    rng = np.random.default_rng(2)
    cases = []
    for _ in range(40):
        heat, tags = wild(rng)
        cases.append((OUTPUTS, [np.concatenate([tags, tags]), heat]))
    assert all(found is not None for found in decoders["hungarian"](cases))


def test_peaks_and_sizes(tmp_path: Path) -> None:
    decoder = Decoder(tmp_path, CROWDPOSE, DecodeOptions(matching="greedy"), peaks=40)
    rng = np.random.default_rng(3)
    scores = np.sort(rng.uniform(-0.2, 1, (14, 40)), axis=1)[:, ::-1].astype(np.float32)
    positions, tags = rng.uniform(0, 90, (14, 40, 2)), rng.normal(0, 4, (14, 40))
    given = [np.asarray(each, np.float32) for each in (scores, positions, tags)]
    (wanted,) = decode_peaks(*(each[None] for each in given), options=DecodeOptions(matching="greedy"))
    odd = [np.zeros((28, 2, 2)), np.zeros((14, 5, 4))]
    more = [np.zeros((14, 41)), np.zeros((14, 41, 2)), np.zeros((14, 41))]
    found, refused, too_many = decoder([(PEAKS, given), (MAPS, [odd[1], np.zeros((14, 5))]), (PEAKS, more)])
    assert_same(found, wanted)
    assert refused is None
    assert too_many is None


@pytest.mark.parametrize("shape", [None, (96, 128)])
def test_what_ports_get(
    decoders: dict[str, Decoder], small_net: Subnet, tmp_path: Path, shape: tuple[int, int] | None
) -> None:
    """From the vectors alone: pictures to pixels as porting.md tells, outputs to people as decode.h does."""
    rule = "first" if shape is None else "hungarian"
    arch = small_net.arch.to_dict()
    manifest = Manifest("small", 96, CROWDPOSE, shape, arch=arch, matching=rule)
    write_porting(tmp_path, manifest, torch_runtime(small_net), 2)
    text = (tmp_path / "porting.md").read_text()
    assert "$" not in text
    assert "<!--" not in text
    assert f"Rule `{rule}`" in text
    assert ("96 x 128" in text) == (shape is not None)
    with np.load(tmp_path / "vectors.npz") as vectors:
        cases = [(OUTPUTS, [vectors[f"{name}_{n}"][0] for name in ("quarter", "half")]) for n in range(2)]
        for n, people in enumerate(decoders[rule](cases)):
            image, pixels = vectors[f"image_{n}"], vectors[f"pixels_{n}"].astype(float)
            height, width = image.shape[:2]
            if shape is None:
                factor = 96 / min(height, width)
                assert pixels.shape[:2] == tuple(
                    96 if side == min(height, width) else 64 * -(-side * 96 // (min(height, width) * 64))
                    for side in (height, width)
                )
            else:
                factor = min(96 / height, 128 / width)
                assert pixels.shape == (96, 128, 3)
            offset = [(have - side * factor) / 2 for have, side in zip(pixels.shape, (height, width))]  # noqa: B905
            assert people is not None
            assert len(people) == len(vectors[f"keypoints_{n}"]) > 0
            assert np.allclose(people.scores, vectors[f"person_scores_{n}"], atol=1e-6)
            places = (2 * people.keypoints[..., :2] - offset[::-1]) / factor
            places *= people.keypoints[..., 2:] != 0
            assert np.allclose(places, vectors[f"keypoints_{n}"][..., :2], atol=1e-3 * max(1, 2 / factor))
            by_hand = placed(image.astype(float), factor, offset, pixels.shape[:2])
            assert np.abs(by_hand - pixels).mean() < 0.5
            assert np.abs(by_hand - pixels).max() < 12


def placed(image: np.ndarray, factor: float, offset: list[float], size: tuple[int, int]) -> np.ndarray:
    """Steps 3 and 4 of porting.md, word by word."""
    n = int(1 / factor + 1e-9)
    if n >= 2:
        image = np.pad(image, ((0, -image.shape[0] % n), (0, -image.shape[1] % n), (0, 0)), "edge")
        image = image.reshape(image.shape[0] // n, n, image.shape[1] // n, n, 3).mean(axis=(1, 3)).round()
        factor *= n
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    weights = []
    for axis in range(2):
        at = (np.arange(size[axis]) + 0.5 - offset[axis]) / factor - 0.5 + 1
        near = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(padded.shape[axis])))
        weights.append(near)
    return np.round(np.einsum("yr,xc,rcd->yxd", *weights, padded, optimize=True))


def test_a_rule_of_ones_own_has_no_header() -> None:
    with pytest.raises(InputError, match="not known"):
        decoder_header(CROWDPOSE, DecodeOptions(matching="mine"))
