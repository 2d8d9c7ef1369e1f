"""What of `onestage` needs torch: assignment, loss, distillation, and the end of an exported graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..data.batch import Batch
from ..data.targets import Targets
from ..training.options import LossOptions
from .losses import Terms

if TYPE_CHECKING:
    from .onestage import Form

# The score of what is no cell, and an area that is not 0.
NOBODY, TINY = -1e4, 1e-12
# A person has at least this size in pixels: of one joint nothing else is known.
SMALLEST = 16.0
# sqrt(0.53), as CrowdPose takes the area of a person from its box.
OF_BOX = 0.728
GAMMA = 2.0
# Weight of the cells with a person against the many without.
POSITIVE = 4.0


@dataclass(frozen=True, eq=False)
class CellTargets(Targets):
    """Targets of cells.

    Attributes:
        people: (B, P, J, 3) float32 x, y in input pixels and 1 where it counts.
        owner: (B, h, w) int64 the person learned at a cell, -1 at none.
    """

    people: Tensor = field(kw_only=True)
    owner: Tensor = field(kw_only=True)

    def rows(self, part: slice) -> CellTargets:
        masks = tuple(each[part] for each in self.masks)
        labelled = None if self.labelled is None else self.labelled[part]
        people, owner = self.people[part], self.owner[part]
        return CellTargets((), masks, self.joints[part], labelled, people=people, owner=owner)


def assign(batch: Batch, form: Form) -> CellTargets:
    """Each person at the cells nearest to the mean of its joints; of several people, the nearest."""
    mask = batch.masks[form.scale].float()
    height, width = mask.shape[1:]
    people = batch.joints * batch.tagged[:, :, None, None]
    shown = people[..., 2]
    count = shown.sum(2)
    centre = (people[..., :2] * shown[..., None]).sum(2) / count.clamp(min=1)[..., None]
    rows, columns = (form.scale * (torch.arange(side, device=mask.device) + 0.5) for side in (height, width))
    square = (centre[..., 0, None, None] - columns) ** 2 + (centre[..., 1, None, None] - rows[:, None]) ** 2
    square = square.masked_fill((count == 0)[..., None, None], float("inf"))
    if square.shape[1] == 0:
        square = square.new_full((len(square), 1, height, width), float("inf"))
    flat = square.flatten(2)
    near = flat <= flat.topk(min(form.cells, height * width), largest=False).values[..., -1:]
    flat = flat.masked_fill(~near, float("inf"))
    distance, owner = flat.min(1)
    owner = owner.masked_fill(distance.isinf(), -1).view(-1, height, width)
    labelled = None if batch.labelled is None else batch.labelled.float()
    return CellTargets((), (mask,), people.long(), labelled, people=people, owner=owner)


def located(
    form: Form, cells: Tensor, image: Tensor, row: Tensor, column: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(N, J) x, y in input pixels and confidence logits, and (N,) size in pixels, of N cells of a map."""
    chosen = cells[image, :, row, column].float()
    joints = (chosen.shape[1] - form.first) // 3
    size = form.unit * chosen[:, 1].clamp(-form.reach, form.reach).exp()
    x, y, confidence = (chosen[:, form.first + i * joints : form.first + (i + 1) * joints] for i in range(3))
    x = form.scale * (column[:, None] + 0.5) + size[:, None] * x
    y = form.scale * (row[:, None] + 0.5) + size[:, None] * y
    return x, y, confidence, size


def terms(cells: Tensor, targets: CellTargets, options: LossOptions, form: Form) -> Terms:
    """The terms of the loss of `cells` (B, 2 + 3J, h, w)."""
    (mask,), owner = targets.masks, targets.owner
    wanted = (owner >= 0).float()
    logits = cells[:, 0].float() - form.empty
    certain = torch.sigmoid(logits).detach()
    weight = torch.where(wanted > 0, torch.full_like(certain, POSITIVE), certain**GAMMA * mask)
    errors = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * weight
    image, row, column = torch.nonzero(owner >= 0, as_tuple=True)
    number = max(1, len(image))
    x, y, confidence, size = located(form, cells, image, row, column)
    person = targets.people[image, owner[image, row, column]]
    shown = person[..., 2]
    true = true_size(person)
    square = (x - person[..., 0]) ** 2 + (y - person[..., 1]) ** 2
    error = square / (2 * (true[:, None] * form.looseness) ** 2)
    similar = torch.exp(-error.detach()) * shown
    # What a source never labels may be there.
    known = torch.ones_like(shown) if targets.labelled is None else targets.labelled[image]
    counted = torch.maximum(shown, known)
    sure = functional.binary_cross_entropy_with_logits(confidence, similar, reduction="none") * counted
    joint = (torch.log1p(error) * shown).sum(1) / shown.sum(1).clamp(min=1)
    sized = (size.log() - true.log()).abs()
    heat = options.heat[0]
    return {
        "score": (heat, errors.sum() / number),
        "joints": (heat * form.weigh_joints, joint.sum() / number),
        "confidence": (heat * form.weigh_confidence, sure.mean(1).sum() / number),
        "size": (heat * form.weigh_size, sized.sum() / number),
    }


def true_size(person: Tensor) -> Tensor:
    """(N,) the root of the area of people (N, J, 3) in pixels."""
    there = person[..., 2:] > 0
    low = person[..., :2].masked_fill(~there, float("inf")).amin(1)
    high = person[..., :2].masked_fill(~there, -float("inf")).amax(1)
    return OF_BOX * (high - low).clamp(min=SMALLEST).prod(1).sqrt()


def distilled(student: Tensor, teacher: Tensor, targets: CellTargets, form: Form) -> Tensor:
    """The student's error against the teacher's scores anywhere, and joints where people are learned."""
    (mask,), owner = targets.masks, targets.owner
    wanted = torch.sigmoid(teacher[:, 0].float() - form.empty)
    logits = student[:, 0].float() - form.empty
    weight = mask * torch.maximum((torch.sigmoid(logits).detach() - wanted).abs() ** GAMMA, wanted)
    errors = (functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * weight).sum()
    image, row, column = torch.nonzero(owner >= 0, as_tuple=True)
    x, y, _, _ = located(form, student, image, row, column)
    right_x, right_y, _, size = located(form, teacher, image, row, column)
    error = ((x - right_x) ** 2 + (y - right_y) ** 2) / (2 * (size[:, None] * form.looseness) ** 2)
    return (errors + torch.log1p(error).mean(1).sum()) / max(1, len(image))


class PeopleHead(nn.Module):
    """The people of cells: what `Onestage.people` finds, in plain operators and without a loop.

    Args:
        count: K >= 1, the most people.
        sigmas: of the joints.
        form: of the head.
    """

    def __init__(self, count: int, sigmas: Sequence[float], form: Form) -> None:
        super().__init__()
        self.count, self.form = min(count, form.candidates), form
        # Row i has a 1 for each j before it; kept, since boards lack the operator that makes it.
        self.better: Tensor
        self.register_buffer("better", torch.ones(form.candidates, form.candidates).tril(-1))
        self.variance: Tensor
        self.register_buffer("variance", (2 * torch.tensor(sigmas, dtype=torch.float32)) ** 2)

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2 + 3J, h, w) to scores (B, K), best first, 0 where there are fewer, and people (B, K, J, 3).

        The three are x, y in pixels of the input, and confidence.
        """
        form = self.form
        width, joints = cells.shape[3], (cells.shape[1] - form.first) // 3
        flat = cells.flatten(2).transpose(1, 2)
        # So many cells that the best of them are there in the smallest input too.
        flat = functional.pad(flat, (0, 0, 0, form.candidates), value=NOBODY)
        place = flat[..., 0].topk(form.candidates).indices
        chosen = flat.gather(1, place[..., None].expand(-1, -1, cells.shape[1]))
        row = torch.div(place, width, rounding_mode="floor")
        column = place - row * width
        size = form.unit * chosen[..., 1:2].clamp(-form.reach, form.reach).exp()
        right, down, sure = chosen[..., form.first :].reshape(*place.shape, 3, joints).unbind(2)
        x = form.scale * (column.float() + 0.5)[..., None] + size * right
        y = form.scale * (row.float() + 0.5)[..., None] + size * down
        confidence = torch.sigmoid(sure)
        scores = torch.sigmoid(chosen[..., 0] - form.empty) * confidence.mean(2)
        scores, order = scores.topk(form.candidates)
        people = torch.stack([x, y, confidence], dim=3).flatten(2)
        people = people.gather(1, order[..., None].expand(-1, -1, 3 * joints))
        scores, order = (scores * self.lone(people, joints)).topk(self.count)
        people = people.gather(1, order[..., None].expand(-1, -1, 3 * joints))
        return scores, people.reshape(*people.shape[:2], joints, 3)

    def lone(self, people: Tensor, joints: int) -> Tensor:
        """(B, N) 1 for people (B, N, 3J), best first, who are not too similar to any better one, else 0."""
        x, y, _ = people.reshape(*people.shape[:2], joints, 3).unbind(3)
        area = (x.amax(2) - x.amin(2)) * (y.amax(2) - y.amin(2))
        square = (x[:, :, None] - x[:, None]) ** 2 + (y[:, :, None] - y[:, None]) ** 2
        similar = torch.exp(-square / (2 * (area[:, None, :, None] + TINY) * self.variance)).mean(3)
        return ((similar * self.better).amax(2) <= self.form.same).float()
