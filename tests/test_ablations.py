"""The ablations: equal costs where they are claimed, the order of the runs, intervals and verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.ablations.plan import ablations
from experiments.ablations.plan import runs
from experiments.ablations.poses import fitting
from experiments.ablations.report import CLAIMS
from experiments.ablations.report import verdict
from experiments.ablations.results import Difference
from experiments.ablations.results import by_seed
from subnets.any_arch import load_arch
from subnets.any_arch import macs_of

ROOT = Path(__file__).resolve().parents[1]


def test_every_claim_is_about_networks_that_are_trained() -> None:
    found = ablations()
    assert set(found) == set(CLAIMS)
    for name, claims in CLAIMS.items():
        assert {arm for claim in claims for arm in (claim.worse, claim.better)} <= set(found[name].arms)


def test_a_network_of_two_ablations_is_trained_once_and_seeds_come_in_turns() -> None:
    order = runs(list(ablations().values()))
    assert len(order) == len(set(order))
    assert sum(run.arm == "kernel7" for run in order) == 3
    assert [run.seed for run in order] == sorted(run.seed for run in order)


@pytest.mark.parametrize("arms", [("kernel7", "plain"), ("multi_branch", "shrunk", "single_branch")])
def test_networks_compared_at_equal_costs_have_them(arms: tuple[str, ...]) -> None:
    first, *others = (macs_of(load_arch(ROOT / f"experiments/ablations/archs/{arm}.yaml")) for arm in arms)
    assert all(abs(other / first - 1) < 0.011 for other in others)


def test_intervals_and_verdicts() -> None:
    # The 97.5% quantile of Student's t with two degrees of freedom is 4.3027; the deviations are 0.1.
    found = by_seed([0.1, 0.2, 0.3], [0.2, 0.4, 0.6])
    assert found.value == pytest.approx(0.2)
    assert found.high - found.value == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    assert found.sign == 0
    up, down = Difference(0.1, 0.05, 0.2), Difference(-0.1, -0.2, -0.05)
    assert [verdict(pair) for pair in ([up, up], [down, down], [up, found])] == [
        "agrees",
        "disagrees",
        "cannot tell",
    ]


def test_crowds_of_few_people_of_some_size_are_kept() -> None:
    images = [{"id": i, "width": 200, "height": 100} for i in range(4)]
    people = [{"image_id": 0, "bbox": [0, 0, 9, 40]}, {"image_id": 0, "bbox": [0, 0, 9, 90]}]
    people += [{"image_id": 1, "bbox": [0, 0, 9, 39]}, *({"image_id": 2, "bbox": [0, 0, 9, 80]},) * 6]
    found = fitting({"images": images, "annotations": people, "categories": []})
    assert [image["id"] for image in found["images"]] == [0]
    assert found["annotations"] == people[:2]
    assert found["categories"] == []
