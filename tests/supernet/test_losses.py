"""The losses against literal loops written from their definitions."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from supernet.data.targets import Targets
from supernet.errors import InputError
from supernet.heads.embedding import EMBEDDING
from supernet.heads.losses import PoseLoss, distillation, heatmap_mse, tag_loss
from supernet.training.options import LossOptions


def random_joints(generator, batch, people, joints, height, width):
    """Some people fully invisible, some images empty, some joints marked visible but off the map."""
    x = torch.randint(-1, width + 1, (batch, people, joints), generator=generator)
    y = torch.randint(-1, height + 1, (batch, people, joints), generator=generator)
    flag = torch.randint(0, 3, (batch, people, joints), generator=generator)
    flag = flag * torch.randint(0, 2, (batch, people, 1), generator=generator)
    return torch.stack([x, y, flag], -1)


def make_targets(generator, batch=2, joints=3, size=8):
    def rand(*shape):
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    return Targets(
        (rand(batch, joints, size, size), rand(batch, joints, 2 * size, 2 * size)),
        (
            (rand(batch, size, size) > 0.3).double(),
            (rand(batch, 2 * size, 2 * size) > 0.3).double(),
        ),
        random_joints(generator, batch, 4, joints, size, size),
    )


def make_heads(generator, batch=2, joints=3, size=8):
    return [
        torch.randn(batch, 2 * joints, size, size, generator=generator, dtype=torch.float64),
        torch.randn(batch, joints, 2 * size, 2 * size, generator=generator, dtype=torch.float64),
    ]


def literal_mse(pred, target, mask, positive_weight):
    pred, target, mask = (np.asarray(t, dtype=float) for t in (pred, target, mask))
    total, count = 0.0, 0
    for b, j, y, x in np.ndindex(pred.shape):
        weight = mask[b, y, x] * (1 + positive_weight * max(target[b, j, y, x], 0))
        total += weight * (pred[b, j, y, x] - target[b, j, y, x]) ** 2
        count += 1
    return total / count


def literal_tags(tags, joints):
    batch, _, height, width = tags.shape
    pulls, pushes = [], []
    for b in range(batch):
        means, spreads = [], []
        for person in joints[b].tolist():
            own = [
                float(tags[b, j, y, x])
                for j, (x, y, flag) in enumerate(person)
                if flag > 0 and 0 <= x < width and 0 <= y < height
            ]
            if own:
                mean = sum(own) / len(own)
                means.append(mean)
                spreads.append(sum((tag - mean) ** 2 for tag in own) / len(own))
        n = len(means)
        pulls.append(sum(spreads) / n if n else 0.0)
        everyone = sum(math.exp(-((a - b) ** 2)) for a in means for b in means)
        pushes.append(0.5 * (everyone - n) / (n * (n - 1)) if n > 1 else 0.0)
    return sum(pulls) / batch, sum(pushes) / batch


@pytest.mark.parametrize("positive_weight", [0.0, 7.5])
@pytest.mark.parametrize("boolean_mask", [False, True])
def test_heatmap_mse_equals_the_loop(positive_weight, boolean_mask):
    generator = torch.Generator().manual_seed(1)
    targets, heads = make_targets(generator), make_heads(generator)
    target = targets.heats[1] - 0.2  # some negative, as a teacher's maps have
    mask = targets.masks[1].bool() if boolean_mask else targets.masks[1]
    got = heatmap_mse(heads[1], target, mask, positive_weight)
    assert float(got) == pytest.approx(literal_mse(heads[1], target, mask, positive_weight), rel=1e-12)


def test_heatmap_mse_exact_values():
    pred, target = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    mask = torch.ones(1, 2, 2)
    assert heatmap_mse(pred, target, mask).item() == 1.25 / 4
    assert heatmap_mse(pred, target, mask, 2.0).item() == (3 * 1.0 + 2 * 0.25) / 4
    mask[0, 0, 0] = 0
    assert heatmap_mse(pred, target, mask).item() == 0.25 / 4


def test_masked_pixels_get_no_gradient_and_weights_pass_none():
    pred = torch.randn(2, 3, 4, 4, requires_grad=True)
    target = torch.rand(2, 3, 4, 4, requires_grad=True)
    mask = torch.zeros(2, 4, 4)
    mask[0, 1, 2] = 1
    heatmap_mse(pred, target, mask, 5.0).backward()
    assert torch.count_nonzero(pred.grad) == 3
    torch.testing.assert_close(pred.grad, -target.grad)


def test_half_precision_is_compared_in_float32():
    pred = torch.randn(1, 2, 8, 8).bfloat16()
    loss = heatmap_mse(pred, torch.rand(1, 2, 8, 8), torch.ones(1, 8, 8))
    assert loss.dtype == torch.float32


@pytest.mark.parametrize("seed", range(20))
def test_tag_loss_equals_the_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    tags = torch.randn(3, 4, 6, 5, generator=generator, dtype=torch.float64)
    joints = random_joints(generator, 3, seed % 6, 4, 6, 5)
    pull, push = tag_loss(tags, joints)
    expected_pull, expected_push = literal_tags(tags, joints)
    assert float(pull) == pytest.approx(expected_pull, rel=1e-12, abs=1e-15)
    assert float(push) == pytest.approx(expected_push, rel=1e-12, abs=1e-15)


def test_tag_loss_exact_values():
    tags = torch.zeros(1, 2, 1, 4)
    tags[0, :, 0, 0] = torch.tensor([1.0, 3.0])  # person 0: mean 2, spread 1
    tags[0, 0, 0, 1] = 2.0  # person 1: one joint, the same mean
    person = [[0, 0, 1], [0, 0, 1]], [[1, 0, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]
    both = torch.tensor([person])
    assert [float(t) for t in tag_loss(tags, both)] == [0.5, 0.5]
    assert [float(t) for t in tag_loss(tags, both[:, :1])] == [1.0, 0.0]
    assert [float(t) for t in tag_loss(tags, both[:, 2:])] == [0.0, 0.0]
    assert [float(t) for t in tag_loss(tags, both[:, :0])] == [0.0, 0.0]


def test_padding_people_changes_nothing():
    generator = torch.Generator().manual_seed(4)
    tags = torch.randn(2, 3, 5, 5, generator=generator)
    joints = random_joints(generator, 2, 4, 3, 5, 5)
    padded = torch.cat([joints, torch.zeros(2, 6, 3, 3, dtype=joints.dtype)], 1)
    for got, expected in zip(tag_loss(tags, padded), tag_loss(tags, joints), strict=True):
        torch.testing.assert_close(got, expected)


def test_gradients_by_finite_differences():
    generator = torch.Generator().manual_seed(3)
    targets = make_targets(generator, size=3)
    heads = [head.requires_grad_() for head in make_heads(generator, size=3)]
    teacher = make_heads(generator, size=3)
    loss = PoseLoss(
        EMBEDDING, LossOptions(heat=(0.7, 1.3), positive_weight=3.0, pull=0.5, push=0.8, distillation=0.6)
    )
    assert torch.autograd.gradcheck(lambda *maps: loss(maps, targets, teacher)[0], heads)


def test_empty_images_have_finite_gradients():
    tags = torch.randn(2, 3, 4, 4, requires_grad=True)
    pull, push = tag_loss(tags, torch.zeros(2, 5, 3, 3, dtype=torch.int64))
    (pull + push).backward()
    assert torch.equal(tags.grad, torch.zeros_like(tags))


def test_distillation_ignores_tags_and_detaches_the_teacher():
    generator = torch.Generator().manual_seed(5)
    targets = make_targets(generator)
    student = [head.requires_grad_() for head in make_heads(generator)]
    teacher = [head.requires_grad_() for head in make_heads(generator)]
    masks = targets.masks
    loss = distillation(student, teacher, targets, LossOptions(positive_weight=2.0))
    expected = sum(
        literal_mse(s[:, :3].detach(), t[:, :3].detach(), m, 2.0)
        for s, t, m in zip(student, teacher, masks, strict=True)
    )
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-12)
    loss.backward()
    assert torch.count_nonzero(student[0].grad[:, 3:]) == 0
    assert torch.count_nonzero(student[0].grad[:, :3]) > 0
    assert teacher[0].grad is None
    assert teacher[1].grad is None


def test_joints_that_are_never_labelled_get_no_loss_on_their_maps():
    generator = torch.Generator().manual_seed(8)
    targets, teacher = make_targets(generator), make_heads(generator)
    heads = [head.requires_grad_() for head in make_heads(generator)]
    labelled = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    some = replace(targets, labelled=labelled)
    _, terms = PoseLoss(EMBEDDING, LossOptions(pull=0.0, push=0.0))(heads, some, teacher)
    for place, name in enumerate(("heat_quarter", "heat_half")):
        weight = targets.masks[place][:, None] * labelled[:, :, None, None]
        error = (heads[place][:, :3] - targets.heats[place]).square() * weight
        assert float(terms[name]) == pytest.approx(float(error.mean().detach()), rel=1e-12)
    total = PoseLoss(EMBEDDING, LossOptions(pull=0.0, push=0.0, distillation=2.0))(heads, some, teacher)[0]
    total.backward()
    for head in heads:
        assert torch.count_nonzero(head.grad[0, 1]) == 0
        assert torch.count_nonzero(head.grad[1, 1]) > 0
    everything = replace(targets, labelled=torch.ones(2, 3))
    whole = [PoseLoss(EMBEDDING)(heads, each, teacher)[0] for each in (targets, everything)]
    assert float(whole[0].detach()) == float(whole[1].detach())


def test_pose_loss_weighs_its_terms():
    generator = torch.Generator().manual_seed(6)
    targets, heads, teacher = make_targets(generator), make_heads(generator), make_heads(generator)
    options = LossOptions(heat=(0.5, 2.0), positive_weight=4.0, pull=0.3, push=0.2, distillation=0.1)
    total, terms = PoseLoss(EMBEDDING, options)(heads, targets, teacher)
    weights = {"heat_quarter": 0.5, "heat_half": 2.0, "pull": 0.3, "push": 0.2, "distillation": 0.1}
    assert set(terms) == set(weights)
    assert float(total) == pytest.approx(sum(weights[name] * float(terms[name]) for name in weights))
    alone, terms = PoseLoss(EMBEDDING, options)(heads, targets)
    assert "distillation" not in terms
    assert float(alone) < float(total)


@pytest.mark.parametrize(
    "wrong", [{"pull": -1.0}, {"heat": (1.0,)}, {"positive_weight": float("nan")}, {"heat": (1.0, -2.0)}]
)
def test_wrong_weights_are_refused(wrong):
    with pytest.raises(InputError):
        LossOptions(**wrong)


def test_wrong_shapes_are_refused():
    maps, mask = torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4)
    with pytest.raises(ValueError, match="shapes"):
        heatmap_mse(maps, maps, mask[:1])
    with pytest.raises(ValueError, match="shape"):
        tag_loss(maps, torch.zeros(2, 5, 4, 3, dtype=torch.int64))
