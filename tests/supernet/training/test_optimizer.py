"""Learning rate, parameter groups, the flat gradient and the moving average."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from supernet import InputError, Supernet
from supernet.training.options import OptimizerOptions, SamplingOptions, TrainOptions
from supernet.training.state import FlatGradient, MovingAverage, learning_rate, make_optimizer


def test_learning_rate_warms_up_then_follows_a_cosine():
    options = OptimizerOptions(lr=1.0, warmup=4, final=0.1)
    rates = [learning_rate(options, step, 12) for step in range(13)]
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates[8] == pytest.approx(0.1 + 0.9 * 0.5)  # the middle of the cosine
    assert rates[12] == pytest.approx(0.1)
    constant = OptimizerOptions(lr=1.0, warmup=0, schedule="constant")
    assert {learning_rate(constant, step, 12) for step in range(12)} == {1.0}


def test_learning_rate_starts_again():
    once, twice = OptimizerOptions(lr=1.0, warmup=2), OptimizerOptions(lr=1.0, warmup=2, restart=5)
    parts = [(step, 5) for step in range(5)] + [(step, 7) for step in range(8)]
    assert [learning_rate(twice, step, 12) for step in range(13)] == [
        learning_rate(once, *at) for at in parts
    ]
    assert learning_rate(twice, 3, 4) == learning_rate(once, 3, 4)  # a run that ends before


def test_a_teacher_needs_an_average():
    with pytest.raises(InputError, match=r"needs a moving average: train\.optimizer\.ema above 0"):
        TrainOptions(sampling=SamplingOptions(teacher=True), optimizer=OptimizerOptions(ema=0.0))


def test_decay_spares_norms_biases_and_kernel_transforms(space):
    net = Supernet(space)
    optimizer = make_optimizer(net, OptimizerOptions(weight_decay=0.1))
    decay_of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    by_name = {name: decay_of[id(p)] for name, p in net.named_parameters()}
    assert set(by_name.values()) == {0.0, 0.1}
    for name, decay in by_name.items():
        spared = ".norm." in name or ".transforms." in name
        assert decay == (0.0 if spared else 0.1), name


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_the_backbone_learns_at_its_share(space, share):
    """Adam's first step is the learning rate itself, whatever the gradient."""
    net = Supernet(space)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = make_optimizer(net, OptimizerOptions(lr=0.1, weight_decay=0.5, backbone=share))
    FlatGradient(net.parameters()).buffer.fill_(1)
    for group in optimizer.param_groups:
        group["lr"], group["weight_decay"] = 0.1 * group["share"], 0.0
    optimizer.step()
    moved = {name: float((p.detach() - before[name]).abs().max()) for name, p in net.named_parameters()}
    assert {name.startswith("head") for name in moved} == {True, False}
    for name, found in moved.items():
        assert found == pytest.approx(0.1 if name.startswith("head") else 0.1 * share, rel=1e-5), name
        assert dict(net.named_parameters())[name].requires_grad == (found > 0)


def test_frozen_layers_stay_as_they_are_and_the_others_learn(space):
    net = Supernet(space)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = make_optimizer(net, OptimizerOptions(lr=0.1, freeze=("stem", "stages.1")))
    FlatGradient(net.parameters()).buffer.fill_(1)
    for group in optimizer.param_groups:
        group["lr"] = 0.1 * group["share"]
    optimizer.step()
    still = {name for name, p in net.named_parameters() if torch.equal(p, before[name])}
    assert still == {name for name in before if name.startswith(("stem.", "stages.1."))}
    assert still == {name for name, p in net.named_parameters() if not p.requires_grad}


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        (("stage",), "no layer's name begins with stage; there are head, stages, stem"),
        (("stem", "stages", "head"), r"freeze=\[stem,stages,head\] leaves nothing to train"),
    ],
)
def test_freezing_nothing_or_everything_is_refused(space, freeze, said):
    with pytest.raises(InputError, match=said):
        make_optimizer(Supernet(space), OptimizerOptions(freeze=freeze))


def test_a_backbone_without_a_head_is_refused():
    with pytest.raises(InputError, match=r"train\.optimizer\.backbone=0\.5 needs a network with a head"):
        make_optimizer(nn.Linear(2, 2), OptimizerOptions(backbone=0.5))


def test_weight_decay_is_decoupled():
    """A parameter without gradient shrinks by exactly lr * decay, which Adam with L2 would not do."""
    net = nn.Linear(3, 2)
    before = net.weight.detach().clone()
    optimizer = make_optimizer(net, OptimizerOptions(lr=0.1, weight_decay=0.5))
    FlatGradient(net.parameters()).zero()
    optimizer.step()
    torch.testing.assert_close(net.weight.detach(), before * (1 - 0.1 * 0.5))


def test_gradients_are_views_of_one_buffer():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    plain = copy.deepcopy(net)
    x = torch.randn(5, 3)
    plain(x).square().sum().backward()
    flat = FlatGradient(net.parameters())
    for count in (1, 3):  # gradients add up in place, also where the buffer grows
        net(x).square().sum().backward()
        flat.attach(torch.full((count,), 7.0))
    expected = torch.cat([2 * p.grad.flatten() for p in plain.parameters()])
    torch.testing.assert_close(flat.gradient, expected)
    assert flat.extras.tolist() == [7.0] * 3
    norm = flat.clip(1.5)
    torch.testing.assert_close(norm, expected.norm())
    torch.testing.assert_close(flat.gradient, expected * 1.5 / expected.norm(), rtol=1e-5, atol=0)
    torch.testing.assert_close(net[0].weight.grad.flatten(), flat.gradient[:12])
    kept = flat.gradient.clone()
    flat.clip(100.0)
    flat.clip(0.0)
    assert torch.equal(flat.gradient, kept)
    flat.zero()
    assert not flat.buffer.any()


def test_moving_average_follows_the_warmed_up_decay():
    source = nn.Linear(2, 1, bias=False)
    average = MovingAverage(source, copy.deepcopy(source), decay=0.5)
    expected = source.weight.detach().clone()
    for step in range(20):
        source.weight.data.add_(1.0)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * source.weight.detach()
    torch.testing.assert_close(next(average.net.parameters()).data, expected)
    assert not any(p.requires_grad for p in average.net.parameters())


@pytest.mark.parametrize(
    "options", [{"betas": (1.0, 0.9)}, {"betas": (0.9,)}, {"name": "sgd", "betas": (0, 0)}]
)
def test_betas_that_no_optimizer_takes_are_refused(options):
    with pytest.raises(InputError, match=r"train\.optimizer\.betas"):
        OptimizerOptions(**options)


def test_endless_training_is_refused():
    with pytest.raises(InputError, match=r"train\.epochs=inf must be a positive number"):
        TrainOptions(epochs=float("inf"))
    with pytest.raises(InputError, match=r"train\.sigma=nan must be a positive number"):
        TrainOptions(sigma=float("nan"))
    options = (
        TrainOptions(steps=7, epochs=3),
        TrainOptions(epochs=3, batch_size=2),
        TrainOptions(batch_size=4),
    )
    assert [each.total_steps(8) for each in options] == [7, 12, 200]
