"""The gradient of a step is the sum over its subnets."""

from __future__ import annotations

import copy

import pytest
import torch

from supernet import Supernet
from supernet.data.loader import Loader
from supernet.data.source import open_split
from supernet.heads.embedding import EMBEDDING
from supernet.heads.losses import PoseLoss
from supernet.sampling import SubnetSchedule
from supernet.training.options import LossOptions, PrecisionOptions, SamplingOptions
from supernet.training.state import FlatGradient
from supernet.training.step import backward_all, chunks

LOSS = PoseLoss(EMBEDDING, LossOptions(positive_weight=5.0, pull=0.1, push=0.1, distillation=2.0))


@pytest.fixture
def parts(data, batches):
    batch = Loader(open_split(data, "train"), batches, [64]).batch(0)
    return {count: list(chunks(batch, EMBEDDING, count, PrecisionOptions(), 2.0)) for count in (1, 2)}


@pytest.fixture
def net(space):
    return Supernet(space, seed=1).train()


def gradient(net, subnets, parts):
    net = copy.deepcopy(net)
    flat = FlatGradient(net.parameters())
    metrics = backward_all(net, subnets, parts, LOSS)
    return flat.gradient.clone(), metrics


def test_sandwich_sums_gradients_and_distils_from_the_detached_largest(net, space, parts):
    subnets = SubnetSchedule(space, SamplingOptions()).subnets(3)
    found, metrics = gradient(net, subnets, parts[1])
    ((images, targets),) = parts[1]

    plain = copy.deepcopy(net)
    teacher = [head.detach() for head in plain(images, subnets[0].arch)]
    totals = [
        LOSS(plain(images, s.arch), targets, None if i == 0 else teacher)[0] for i, s in enumerate(subnets)
    ]
    sum(totals).backward()
    zeros = [torch.zeros_like(p) if p.grad is None else p.grad for p in plain.parameters()]
    expected = torch.cat([grad.flatten() for grad in zeros])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))

    values = [float(total.detach()) for total in totals]
    assert float(metrics["loss"]) == pytest.approx(sum(values), rel=1e-5)
    assert float(metrics["loss/largest"]) == pytest.approx(values[0], rel=1e-5)
    assert float(metrics["loss/random"]) == pytest.approx((values[1] + values[2]) / 2, rel=1e-5)
    assert float(metrics["loss/smallest"]) == pytest.approx(values[3], rel=1e-5)
    assert "distillation" in metrics


def test_the_largest_learns_from_ground_truth_alone(net, space, parts):
    """Its gradient is the same whether students follow or not."""
    subnets = SubnetSchedule(space, SamplingOptions()).subnets(3)
    alone, metrics = gradient(net, subnets[:1], parts[1])
    assert "distillation" not in metrics
    students = gradient(net, subnets[1:], parts[1])[0]  # without a teacher: ground truth only
    together, _ = gradient(net, subnets, parts[1])
    assert not torch.allclose(together, alone + students)  # distillation reached the students
    undistilled = PoseLoss(EMBEDDING, LossOptions(positive_weight=5.0, pull=0.1, push=0.1, distillation=0.0))
    copied = copy.deepcopy(net)
    flat = FlatGradient(copied.parameters())
    backward_all(copied, subnets, parts[1], undistilled)
    torch.testing.assert_close(flat.gradient, alone + students, rtol=1e-4, atol=1e-6)


def test_accumulation_averages_the_parts(net, space, parts):
    subnets = SubnetSchedule(space, SamplingOptions()).subnets(3)
    halves = [gradient(net, subnets, [part]) for part in parts[2]]
    both, metrics = gradient(net, subnets, parts[2])
    torch.testing.assert_close(both, (halves[0][0] + halves[1][0]) / 2, rtol=1e-4, atol=1e-6)
    for name, value in metrics.items():
        expected = sum(float(half[1][name]) for half in halves) / 2
        assert float(value) == pytest.approx(expected, rel=1e-5), name


def test_bfloat16_gives_about_the_same_gradient_in_float32(net, space, parts):
    subnets = SubnetSchedule(space, SamplingOptions()).subnets(3)
    exact, _ = gradient(net, subnets, parts[1])
    half = copy.deepcopy(net)
    flat = FlatGradient(half.parameters())
    backward_all(half, subnets, parts[1], LOSS, bf16=True)
    assert flat.gradient.dtype == torch.float32
    assert not torch.equal(flat.gradient, exact)
    assert torch.cosine_similarity(flat.gradient, exact, dim=0) > 0.9
