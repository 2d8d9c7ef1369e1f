"""Prepared images take no more memory than they may, and what had no room scores the same."""

from __future__ import annotations

from pathlib import Path

from supernet.data.source import DataConfig, open_split
from supernet.evaluation import Evaluator, supernet_run
from supernet.heads.contract import head_of
from supernet.options import EvaluationOptions
from supernet.training.checkpoint import load_supernet


def test_prepared_images_keep_within_their_memory(trained: Path) -> None:
    net = load_supernet(str(trained / "run"), "best").net.eval()
    run, head = supernet_run(net, net.space.largest()), head_of(net.space.largest())
    val = open_split(DataConfig(root=str(trained / "data"), workers=0), "val")

    def evaluator(memory: float) -> Evaluator:
        return Evaluator(val, EvaluationOptions(memory=memory, batch_size=2))

    whole, none = evaluator(1.0), evaluator(0.0)
    size = {r: sum(one.views[0].pixels.nbytes for one in whole.prepared(r)) for r in (64, 128)}
    # Room for one resolution and half of the other.
    bound = size[64] / 2 + size[128]
    some = evaluator(bound / 1e9)
    for resolution in (128, 64, 128):
        wanted = whole(run, resolution, head).detections
        for each in (some, none):
            assert each(run, resolution, head).detections == wanted
        held = [one for kept in some._prepared.values() for one in kept.values()]
        assert sum(one.views[0].pixels.nbytes for one in held) <= bound
    # A resolution does not take all from another.
    assert all(some._prepared[resolution] for resolution in (64, 128))
    pairs = zip(list(whole.prepared(64)), list(whole.prepared(64)), strict=True)
    assert all(first is second for first, second in pairs)
    assert not any(none._prepared.values())
