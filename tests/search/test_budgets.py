"""Budgets: what users write, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from search.costs.budgets import BudgetOptions, loose_limits, resolve_budgets
from search.costs.contract import Costs, CostSettings
from supernet import Arch, InputError, SearchSpace
from supernet.cost import count_macs, count_params
from supernet.family import layers
from supernet.memory import layer_flash, peak_memory
from supernet.registry import conf_folder


@pytest.fixture(scope="module")
def costs() -> Costs:
    return Costs.of(SearchSpace.load("litepose"))


def limits(costs: Costs, **options: Any) -> dict[str, dict[str, float]]:
    return {b.name: dict(b.limits) for b in resolve_budgets(BudgetOptions.of(options), costs)}


def test_amounts(costs: Costs) -> None:
    largest = count_macs(costs.space.largest())
    found = limits(costs, macs=["0.9G", "900M", 0.5, "25%", 3_000_000_000], names=list("abcde"))
    assert [value["macs"] for value in found.values()] == [0.9e9, 0.9e9, 0.5 * largest, 0.25 * largest, 3e9]
    assert limits(costs, params=["2M", 0.5]) == {
        "2M-params": {"params": 2e6},
        "0.5-params": {"params": 0.5 * count_params(costs.space.largest())},
    }


def test_names_of_networks_are_budgets_and_each_meets_its_own(costs: Costs) -> None:
    names = ["litepose-xs", "litepose-s", "litepose-m", "litepose-l"]
    preset = yaml.safe_load((conf_folder("search") / "litepose.yaml").read_text())["budgets"]
    assert preset == {"macs": names, "names": ["XS", "S", "M", "L"]}
    budgets = resolve_budgets(BudgetOptions.of(preset), costs)
    assert [budget.name for budget in budgets] == ["XS", "S", "M", "L"]
    assert [round(dict(b.limits)["macs"] / 1e9, 4) for b in budgets] == [0.8829, 3.6141, 5.2637, 9.962]
    values = costs.predict(costs.space.encode([Arch.load(name) for name in names]))
    assert all(budget.feasible(costs, values[i : i + 1])[0] for i, budget in enumerate(budgets))


def test_a_file_gives_its_name(costs: Costs, tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    file = tmp_path / "some" / "mine.json.gz"
    Arch.load("litepose-s").save(tmp_path / "some" / "other.yaml")
    file.write_bytes(gzip.compress(json.dumps(Arch.load("litepose-xs").to_dict()).encode()))
    found = limits(costs, macs=[str(file), str(tmp_path / "some" / "other.yaml")])
    assert {name: round(value["macs"] / 1e9, 4) for name, value in found.items()} == {
        "mine": 0.8829,
        "other": 3.6141,
    }


def test_an_amount_without_brackets_is_one_budget(costs: Costs) -> None:
    assert limits(costs, macs="300M") == {"300M": {"macs": 3e8}}


def test_the_papers_counting() -> None:
    costs = Costs.of(SearchSpace.load("litepose"), CostSettings(convention="litepose"))
    options = BudgetOptions({"macs": ("litepose-xs",)}, convention="litepose")
    assert round(dict(resolve_budgets(options, costs)[0].limits)["macs"] / 1e9, 4) == 1.2023


def test_the_whole_share_admits_the_largest(costs: Costs) -> None:
    budget = resolve_budgets(BudgetOptions({"macs": (1.0,)}), costs)[0]
    assert budget.feasible(costs, costs.of_largest()[None])[0]


def test_several_limits_in_one(costs: Costs) -> None:
    found = limits(costs, named={"phone": {"macs": "3G", "params": "2M"}})
    assert found == {"phone": {"macs": 3e9, "params": 2e6}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no budget given"),
        ({"macs": ["1M"]}, "below the smallest .* 'litepose'; reachable: 120.9 M MACs to 10.9 G MACs"),
        ({"params": ["1k"]}, "below the smallest subnet"),
        ({"macs": ["fast"]}, "no amount of macs"),
        ({"macs": ["-1G"]}, "not a positive amount"),
        ({"macs": ["nan"]}, "not a positive amount"),
        ({"macs": [0]}, "not a positive amount"),
        ({"macs": ["1G", "1G"]}, "two budgets are named '1G'"),
        ({"macs": ["1G"], "names": ["a", "b"]}, "2 names for 1 budgets"),
        ({"macs": ["1G"], "names": ["../x"]}, "cannot name a folder"),
        ({"macs": ["1G"], "names": [".."]}, r"'\.\.' cannot name a folder; .*budgets\.names"),
        ({"mac": ["1G"]}, r"budgets\.mac: no cost 'mac' is known \(macs, params, latency_ms"),
        ({"named": [3]}, "expected budgets by name, found "),
        ({"latency_ms": [5]}, "no cost 'latency_ms' here"),
        ({"named": {"phone": {"watts": 3}}}, "no cost 'watts'"),
        ({"named": {"phone": 3}}, "expected limits"),
        ({"named": {"phone": {"macs": "9G", "params": "100k"}}}, "below the smallest subnet"),
    ],
)
def test_bad_budgets(costs: Costs, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_budgets(BudgetOptions.of(options), costs)


def test_limits_above_the_largest_network_are_told(costs: Costs) -> None:
    named = {"both": {"macs": "20G", "params": "2M"}, "tight": {"macs": "100%"}}
    options = BudgetOptions.of({"macs": ["0.9G", "90G"], "params": ["litepose-l"], "named": named})
    told = loose_limits(resolve_budgets(options, costs), costs)
    assert [line.partition(":")[0] for line in told] == [
        "budget '90G' of 90 G MACs limits nothing",
        "budget 'both' of 20 G MACs limits nothing",
    ]
    assert all(line.endswith("space 'litepose' costs 10.9 G MACs") for line in told)


@pytest.mark.parametrize("settings", [{"convention": "flops"}, {"precision": "int4"}])
def test_bad_settings_of_costs(settings: dict[str, str]) -> None:
    with pytest.raises(InputError, match="is not known; choose one of"):
        CostSettings(**settings)  # type: ignore[arg-type]


def test_memory_is_written_in_bytes(costs: Costs) -> None:
    space = costs.space
    settings = CostSettings(precision="float32")
    memory = Costs.of(space, settings, ["ram", "flash"])
    options = BudgetOptions.of({"ram": ["8MB", "8Mi", "100%"], "flash": ["0.5"], "precision": "float32"})
    found = {budget.name: dict(budget.limits) for budget in resolve_budgets(options, memory)}
    assert found["8MB-ram"] == {"ram": 8e6}
    assert found["8Mi-ram"] == {"ram": 8 * 2**20}
    arch = space.largest()
    assert found["100pct-ram"] == {"ram": peak_memory(arch, 14, "float32", (512, 512))}
    assert found["0.5-flash"] == {"flash": 0.5 * sum(layer_flash(one, "float32") for one in layers(arch, 14))}
    assert [budget.shown() for budget in resolve_budgets(options, memory)[:2]] == ["8 MB", "8.389 MB"]


def test_contradictory_limits_name_the_range() -> None:
    space = SearchSpace.load("tiny")
    costs = Costs.of(space)

    class Reversed:
        """A cost that falls as MACs rise, so that two limits can contradict each other."""

        def predict(self, codes: np.ndarray) -> np.ndarray:
            return 1e9 / costs.predict(codes)[:, 0]

    both = Costs(space, {**costs.tables, "latency_ms": Reversed()}, costs.settings)
    smallest = costs.of_smallest()[0]
    named = {"odd": {"macs": 1.1 * smallest, "latency_ms": 0.5 * 1e9 / smallest}}
    with pytest.raises(InputError, match=r"budget 'odd' .*reachable.*no architecture of space 'tiny'"):
        resolve_budgets(BudgetOptions(named=named), both)
