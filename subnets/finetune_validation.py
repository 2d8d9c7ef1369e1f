"""Scoring a single network while it is trained."""

from __future__ import annotations

import copy
from collections.abc import Callable
from collections.abc import Iterable
from typing import TypeVar

from torch import Tensor
from torch import nn

from supernet.calibration import calibrate_by
from supernet.training import Scores
from supernet.validation import SharedScoring

from .any_network import AnyNetwork
from .runtime import open_runtime

N = TypeVar("N", bound=nn.Module)


class SubnetValidator:
    """Calibrates a copy of a network and scores it; every rank calls.

    Args:
        batches: normalised training images (B, 3, R, R) for batch-norm calibration, anew at each call.
        scoring: what to score on.
    """

    def __init__(self, batches: Callable[[], Iterable[Tensor]], scoring: SharedScoring) -> None:
        self._batches = batches
        self._scoring = scoring

    def __call__(self, net: AnyNetwork, step: int) -> Scores:
        """AP and AR of `net`, which is left as it is."""
        found = []
        if self._scoring.evaluator is not None:
            ready = calibrated(net, self._batches())
            run = open_runtime(ready, "torch")
            found = self._scoring.evaluator(run, net.arch.resolution).detections
        _, stats = self._scoring.gather(found)
        figures = {name: round(stats[name], 5) for name in ("AP", "AR")}
        return Scores(figures, {"best": figures["AP"]})


def calibrated(net: N, batches: Iterable[Tensor]) -> N:
    """A copy of `net` in evaluation mode, its batch norms calibrated on `batches`."""
    copied = copy.deepcopy(net)
    device = next(copied.parameters()).device
    calibrate_by(copied, copied, (images.to(device) for images in batches))
    return copied.eval()
