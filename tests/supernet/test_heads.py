"""Heads beside associative embedding's own: what they learn, what they find, and the end of their graphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from search import MacsTable, ParamsTable, count_macs, count_params
from search.accuracy.models import Features
from search.costs.contract import Costs
from subnets import build, extract
from subnets.export.onnx_graph import ending
from subnets.network import fuse
from supernet import Arch, InputError, SearchSpace, Supernet
from supernet.data.batch import Batch
from supernet.family import layers
from supernet.heads.contract import HEADS
from supernet.heads.onestage import FORM, ONESTAGE, best_cells
from supernet.heads.onestage_torch import PeopleHead
from supernet.memory import MemoryTable, peak_memory
from supernet.pose import DecodeOptions, Skeleton
from supernet.pose.preprocess import View
from supernet.sampling import SubnetSchedule
from supernet.sorting import sort_channels
from supernet.training.options import LossOptions, SamplingOptions

CROWDPOSE = Skeleton.load("crowdpose")
JOINTS = CROWDPOSE.num_joints
VIEW = View(np.zeros((64, 96, 3), np.uint8), 2.0, (4.0, 6.0))


def cells_of(people: list[tuple[int, int, np.ndarray]], shape: tuple[int, int] = (8, 12)) -> np.ndarray:
    """(2 + 3J, h, w) of people at (row, column) with joints (J, 2) in pixels of the input."""
    cells = np.zeros((FORM.first + 3 * JOINTS, *shape), np.float32)
    cells[0] = -6.0
    for row, column, joints in people:
        cells[0, row, column] = FORM.empty + 3.0
        offsets = (joints - 8 * np.array([column + 0.5, row + 0.5])) / FORM.unit
        cells[FORM.first :, row, column] = np.concatenate([*offsets.T, np.full(JOINTS, 2.0)])
    return cells


def pose(seed: int) -> np.ndarray:
    """(J, 2) joints of a person in an input of 64 x 96."""
    return np.random.default_rng(seed).uniform(8, 56, (JOINTS, 2)).astype(np.float32)


def test_people_come_from_their_cells_once() -> None:
    first, second = pose(0), pose(1)
    cells = cells_of([(2, 3, first), (2, 4, first + 0.5), (6, 9, second)])
    cells[0, 2, 4] -= 1.0  # the same person, found again by a neighbour that is less sure
    (people,) = (ONESTAGE.people([[[cells]]], [VIEW], CROWDPOSE, DecodeOptions()),)
    assert len(people) == 2
    found = people.keypoints[np.argsort(people.keypoints[:, 0, 0] != (first[0, 0] - 4) / 2)]
    for joints in (first, second):
        wanted = (joints - np.array([4.0, 6.0])) / 2
        assert min(np.abs(one[:, :2] - wanted).max() for one in found) < 1e-4
    sure = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(people.scores, sure / (1 + np.exp(-3.0)), rtol=1e-5)
    assert len(ONESTAGE.people([[[cells]]], [VIEW], CROWDPOSE, DecodeOptions(max_people=1))) == 1


def test_a_flip_test_of_a_mirrored_map_changes_nothing() -> None:
    cells = cells_of([(2, 3, pose(0)), (5, 8, pose(1))])
    x, y, sure = (
        cells[FORM.first + i * JOINTS : FORM.first + (i + 1) * JOINTS][list(CROWDPOSE.flip)] for i in range(3)
    )
    mirrored = np.ascontiguousarray(np.concatenate([cells[: FORM.first], -x, y, sure])[..., ::-1])
    once, twice = (
        ONESTAGE.people([passes], [VIEW], CROWDPOSE, DecodeOptions())
        for passes in ([[cells]], [[cells], [mirrored]])
    )
    np.testing.assert_allclose(once.keypoints, twice.keypoints, atol=1e-4)


@pytest.mark.parametrize("shape", [(4, 4), (8, 12)])
def test_the_end_of_the_graph_finds_the_same_people(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    cells = rng.normal(0, 0.6, (2, FORM.first + 3 * JOINTS, *shape)).astype(np.float32)
    cells[:, 0] = rng.normal(2, 2, (2, *shape))
    graph = ending("onestage", 30, CROWDPOSE)
    assert not {node.op_type for node in graph.graph.node} & {"Loop", "NonMaxSuppression", "Trilu"}
    model = graph.SerializeToString()
    outputs = onnxruntime.InferenceSession(model).run(None, {"cells_map": cells})
    with torch.no_grad():
        own = PeopleHead(30, CROWDPOSE.sigmas, FORM)(torch.from_numpy(cells))
    assert [value.shape for value in outputs] == [(2, 30), (2, 30, JOINTS, 3)]
    np.testing.assert_allclose(outputs[0], own[0], atol=1e-6)
    for image in range(2):
        wanted = ONESTAGE.people([[[cells[image]]]], [VIEW], CROWDPOSE, DecodeOptions())
        found = ONESTAGE.ended(
            [value[image : image + 1] for value in outputs], VIEW, CROWDPOSE, DecodeOptions()
        )
        assert len(found) == len(wanted) > 0
        np.testing.assert_allclose(found.keypoints, wanted.keypoints, atol=1e-3)
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-6)


def batch_of(people: torch.Tensor) -> Batch:
    """A batch of one 64 x 64 crop with people (P, J, 3)."""
    masks = {8: torch.ones(1, 8, 8, dtype=torch.uint8)}
    tagged = torch.ones(1, len(people), dtype=torch.bool)
    return Batch(torch.zeros(1, 64, 64, 3, dtype=torch.uint8), people[None], tagged, masks, torch.zeros(1), 0)


def test_what_it_learned_is_what_it_finds() -> None:
    true = torch.cat([torch.from_numpy(pose(5)), torch.ones(JOINTS, 1)], dim=1)
    true[3] = 0.0  # a joint that nobody labelled
    targets = ONESTAGE.targets(batch_of(true[None]), 2.0)
    cells = torch.zeros(1, FORM.first + 3 * JOINTS, 8, 8, requires_grad=True)
    optimizer = torch.optim.Adam([cells], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        sum(w * term for w, term in ONESTAGE.terms([cells], targets, LossOptions()).values()).backward()
        optimizer.step()
    found, scores = best_cells(cells.detach()[0].numpy())
    assert (scores > 0.5).sum() == 4, "the cells nearest to the person, all with the same pose"
    shown = true[:, 2].numpy() > 0
    assert np.abs(found[:4, shown, :2] - true[shown, :2].numpy()).max() < 0.5
    assert found[:4, shown, 2].min() > 0.9 > 0.1 > found[:4, 3, 2].max()
    student = cells.detach().requires_grad_()
    ONESTAGE.distillation([student], [cells], targets, LossOptions()).backward()
    assert student.grad.abs().max() < 1e-6, "who does as the teacher does has nothing to learn"


def test_nobody_is_learned_without_people() -> None:
    targets = ONESTAGE.targets(batch_of(torch.zeros(0, JOINTS, 3)), 2.0)
    cells = torch.zeros(1, FORM.first + 3 * JOINTS, 8, 8)
    terms = ONESTAGE.terms([cells], targets, LossOptions())
    assert {name: float(term) for name, (_, term) in terms.items() if name != "score"} == {
        "joints": 0.0,
        "confidence": 0.0,
        "size": 0.0,
    }


@pytest.mark.parametrize("kind", ["ae_resize", "onestage"])
def test_extraction_is_bit_equal_and_no_layer_is_transposed(kind: str) -> None:
    space = SearchSpace.from_dict(SearchSpace.load("demo").to_dict() | {"head_kind": kind})
    net, arch, images = Supernet(space).eval(), space.middle(), torch.randn(1, 3, 64, 96)
    assert not {layer.kind for layer in layers(arch, 14)} & {"deconv"}
    with torch.no_grad():
        wanted, subnet = net(images, arch), extract(net, arch)
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(subnet(images), wanted, strict=True))
        for ours, theirs in zip(fuse(subnet)(images), wanted, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_resized_embedding_gives_what_embedding_gives() -> None:
    assert HEADS.get("ae_resize").outputs(17) == HEADS.get("embedding").outputs(17)
    arch = replace(Arch.load("litepose-xs"), head_kind="ae_resize")
    with torch.no_grad():
        outputs = build(arch).eval()(torch.zeros(1, 3, 64, 96))
    assert [tuple(output.shape) for output in outputs] == [(1, 28, 16, 24), (1, 14, 32, 48)]


HEADS_OF_ONE = ["embedding", "ae_resize", "onestage"]
STAGE = {"width": [4, 8], "depth": [1, 2], "kernel": [3, 5], "expansion": [2]}
MICRO = {
    "schema": 1,
    "name": "micro",
    "head_kind": HEADS_OF_ONE,
    "resolution": [64],
    "stem": [4, 8],
    "stages": [STAGE] * 4,
    "head": [[4, 8], [4, 8], [4, 8]],
}


def test_the_head_is_a_gene() -> None:
    space = SearchSpace.from_dict(MICRO)
    assert SearchSpace.from_dict(space.to_dict()) == space
    alone = SearchSpace.from_dict(MICRO | {"head_kind": "onestage"})
    assert (space.size(), len(space.genes)) == (3 * alone.size(), len(alone.genes) + 1)
    codes = space.sample_codes(np.random.default_rng(0), 60)
    archs = space.decode(codes)
    assert {arch.head_kind for arch in archs} == set(HEADS_OF_ONE)
    assert space.encode(archs).tolist() == codes.tolist()
    reason = space.mismatch(replace(archs[0], head_kind="heatmaps"))
    assert reason == "head_kind heatmaps is not embedding or ae_resize or onestage"
    for wrong in ([], ["onestage", "onestage"], [3], 3):
        with pytest.raises(InputError, match=r"^head_kind: "):
            SearchSpace.from_dict(MICRO | {"head_kind": wrong})


def test_one_supernet_holds_all_heads_and_extraction_is_bit_equal() -> None:
    space = SearchSpace.from_dict(MICRO)
    net, images = Supernet(space).eval(), torch.randn(1, 3, 64, 64)
    arch = space.middle()
    archs = [replace(arch, head_kind=kind) for kind in HEADS_OF_ONE]
    with torch.no_grad():
        before = [net(images, each) for each in archs]
        for each, wanted in zip(archs, before, strict=True):
            found = extract(net, each)(images)
            assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, wanted, strict=True))
        largest = [replace(space.largest(), head_kind=kind) for kind in HEADS_OF_ONE]
        whole = [net(images, each) for each in largest]
        sort_channels(net)
        for each, wanted in zip(largest, whole, strict=True):
            for ours, theirs in zip(net(images, each), wanted, strict=True):
                torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    alone = Supernet(SearchSpace.from_dict(MICRO | {"head_kind": "onestage"}))
    assert set(alone.state_dict()) < set(net.state_dict())


def test_a_step_trains_one_head_and_all_get_their_turn() -> None:
    schedule = SubnetSchedule(SearchSpace.from_dict(MICRO), SamplingOptions(random=2, largest_first=5), 3)
    kinds = [{one.arch.head_kind for one in schedule.subnets(step)} for step in range(60)]
    assert all(len(kind) == 1 for kind in kinds)
    assert {next(iter(kind)) for kind in kinds} == set(HEADS_OF_ONE)


def test_costs_know_the_head() -> None:
    space = SearchSpace.from_dict(MICRO)
    codes = space.sample_codes(np.random.default_rng(1), 80)
    archs = space.decode(codes)
    assert MacsTable(space).predict(codes).tolist() == [count_macs(arch) for arch in archs]
    assert ParamsTable(space).predict(codes).tolist() == [count_params(arch) for arch in archs]
    memory = MemoryTable(space, 14).predict(codes).tolist()
    assert memory == [peak_memory(arch, 14, "int8", (64, 64)) for arch in archs]
    costs = Costs.of(space, wanted=["flash"])
    every = costs.predict(codes)
    assert (costs.of_smallest() <= every.min(0)).all()
    assert (costs.of_largest() >= every.max(0)).all()
    features = Features(space, costs)(codes)
    heads = np.array([[arch.head_kind == kind for kind in HEADS_OF_ONE] for arch in archs], float)
    assert all((features == head[:, None]).all(0).any() for head in heads.T), "a feature for each head"
