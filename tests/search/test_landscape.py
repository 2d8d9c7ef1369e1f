"""Landscapes: made-up accuracies with a known front, and a search on one by the real command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from warm import Warm

from search.landscape import IMAGE_DEVIATION, Landscape
from search.strategies.front import front_mask
from supernet import Arch, SearchSpace


@pytest.fixture(scope="module")
def nano() -> Landscape:
    return Landscape(SearchSpace.load("nano"), 3)


def test_a_seed_is_a_landscape(nano: Landscape) -> None:
    space = SearchSpace.load("litepose")
    ends = space.encode([space.smallest(), space.middle(), space.largest()])
    assert Landscape(space, 5).points(ends) == pytest.approx([33.56228991, 52.57231894, 60.56228991])
    assert Landscape(space, 6).points(ends)[1] != pytest.approx(52.57231894, abs=0.1)


def test_the_front_is_that_of_brute_force(nano: Landscape) -> None:
    every = np.array(np.unravel_index(np.arange(nano.space.num_choices.prod()), nano.space.num_choices)).T
    every = np.unique(nano.space.canonical(every), axis=0)
    assert len(every) == nano.space.size()
    macs, points = nano.costs.predict(every)[:, 0], nano.points(every)
    wanted = every[front_mask(np.column_stack([macs, -points]))]
    assert nano.front.tolist() == wanted[np.argsort(nano.costs.predict(wanted)[:, 0])].tolist()
    assert nano.hypervolume(every) == 1.0
    assert 0 < nano.hypervolume(every[[100, 2000]]) < nano.hypervolume(every[:500]) < 1
    limits = [0.3 * macs.max(), 0.6 * macs.max()]
    assert nano.best(limits).tolist() == [points[macs <= limit].max() for limit in limits]


def test_images_that_two_scores_share_are_off_by_the_same(nano: Landscape) -> None:
    codes = np.unique(nano.space.sample_codes(np.random.default_rng(0), 1000), axis=0)
    first, second, both = nano.noise(codes, 60), nano.noise(codes, 40, 60), nano.noise(codes, 100)
    assert both == pytest.approx(0.6 * first + 0.4 * second)
    assert both.std() == pytest.approx(IMAGE_DEVIATION / 10, rel=0.1)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    assert nano.scores(codes, 100) == pytest.approx((nano.points(codes) + both) / 100)


def test_the_command_searches_it(nano: Landscape, warm: Warm, tmp_path: Path) -> None:
    settings = ["name=a", "budgets.macs=[50%]", "strategy=random", "evaluation.images=100"]
    done = warm.run("search.run", ["supernet=landscape:nano:3", *settings, "search.evaluations=24"], tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "search" / "a"
    value = json.loads((folder / "candidates.json").read_text())
    codes = np.array([one["codes"] for one in value["candidates"]])
    for metric, ap in (("AP", nano.scores(codes, 100)), ("AP_true", nano.scores(codes))):
        assert [one["stats"][metric] for one in value["candidates"]] == pytest.approx(ap, rel=1e-12)
    arch = Arch.load(folder / "subnets" / "50pct" / "arch.yaml")
    assert nano.space.encode([arch])[0].tolist() == codes[value["chosen"]["50pct"]].tolist()
    for name, words in (("nano:x", "whole number"), ("none", "'none'")):
        done = warm.run("search.run", [f"supernet=landscape:{name}", "name=b"], tmp_path)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert words in done.stderr
    assert not (tmp_path / "runs" / "search" / "b").exists()


def test_a_part_of_the_space_is_searched(nano: Landscape, warm: Warm, tmp_path: Path) -> None:
    part = nano.space.to_dict()
    part["resolution"] = [max(nano.space.resolution)]
    del part["name"]
    (tmp_path / "large.yaml").write_text(json.dumps(part))
    settings = ["supernet=landscape:nano:3", "budgets.macs=[80%]", "strategy=random", "search.evaluations=6"]
    done = warm.run("search.run", [*settings, "name=a", "space=large.yaml"], tmp_path)
    assert done.returncode == 0, done.stderr
    value = json.loads((tmp_path / "runs/search/a/candidates.json").read_text())
    assert value["space"] == part | {"name": "large"}
    archs = SearchSpace.from_dict(value["space"]).decode(np.array([c["codes"] for c in value["candidates"]]))
    assert {arch.resolution for arch in archs} == {max(nano.space.resolution)}
    scores = [candidate["stats"]["AP_true"] for candidate in value["candidates"]]
    assert scores == pytest.approx(nano.scores(nano.space.encode(archs)), rel=1e-12)
    part["resolution"].append(512)
    (tmp_path / "larger.yaml").write_text(json.dumps(part))
    done = warm.run("search.run", [*settings, "name=b", "space=larger.yaml"], tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "error: space=larger.yaml is no part of the supernet's space 'nano': resolution 512 is not one of "
        f"{list(nano.space.resolution)}\n"
    )
    assert not (tmp_path / "runs/search/b").exists()
