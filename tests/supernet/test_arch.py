"""Architectures: forms, files, the zoo, limits."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from supernet import Arch, InputError, SearchSpace, Stage
from supernet.cost import count_macs, count_params
from supernet.family import read_about
from supernet.registry import conf_names

# Resolution, stem, stages, head, parameters, exact MACs and the paper's in G (14 joints), the paper's AP.
RELEASED: dict[str, tuple[Any, ...]] = {
    "litepose-xs": (256, 16, "16 32 48 80", "16 24 24", 1675552, 0.8829, 1.2023, (49.5, 40.6)),
    "litepose-s": (448, 16, "16 32 48 120", "32 24 32", 2731240, 3.6141, 4.9813, (58.3, 56.8)),
    "litepose-m": (448, 16, "24 48 72 120", "64 40 32", 3533808, 5.2637, 7.8416, (59.9, 59.8)),
    "litepose-l": (512, 24, "24 64 96 160", "64 40 32", 5738120, 9.9620, 13.7131, (61.9, 62.5)),
    "litepose-prune-s": (512, 16, "16 32 48 80", "32 24 16", 1709032, 3.4860, 4.6850, None),
    "litepose-prune-m": (512, 24, "24 48 72 120", "48 40 24", 3472064, 6.8485, 9.5472, None),
    "litepose-prune-l": (512, 24, "32 64 96 160", "64 48 32", 5812744, 10.8954, 15.2798, None),
}


def small() -> dict[str, Any]:
    return SearchSpace.load("tiny").smallest().to_dict()


def test_the_zoo_is_complete() -> None:
    assert conf_names("zoo") == sorted(RELEASED)


@pytest.mark.parametrize("name", RELEASED)
def test_released_networks(name: str) -> None:
    resolution, stem, widths, head, params, exact, paper, ap = RELEASED[name]
    arch = Arch.load(name)
    assert (arch.resolution, arch.stem) == (resolution, stem)
    assert [stage.width for stage in arch.stages] == [int(w) for w in widths.split()]
    assert list(arch.head) == [int(w) for w in head.split()]
    assert [stage.depth for stage in arch.stages] == [6, 8, 10, 10]
    assert {kernel for stage in arch.stages for kernel in stage.kernels} == {7}
    assert {ratio for stage in arch.stages for ratio in stage.expansions} == {6}
    assert count_params(arch) == params
    assert abs(count_macs(arch) / 1e9 - exact) < 1e-4
    assert abs(count_macs(arch, convention="litepose") / 1e9 - paper) < 1e-4
    assert SearchSpace.load("litepose").contains(arch)
    about = read_about(name)
    for joints in (14, 17):
        assert about["params"][f"joints_{joints}"] == count_params(arch, joints)
        for convention in ("exact", "litepose"):
            assert about[f"macs_{convention}"][f"joints_{joints}"] == count_macs(arch, joints, convention)
    assert "mit-han-lab/litepose" in about["source"]
    reported = about.get("ap_of_the_paper")
    assert (reported and (reported["crowdpose_test"], reported["coco_val"])) == ap


def test_forms_round_trip(tmp_path: Path) -> None:
    space = SearchSpace.load("litepose_expand")
    for arch in (space.sample(np.random.default_rng(seed)) for seed in range(20)):
        assert Arch.from_dict(arch.to_dict()) == arch
        assert Arch.from_dict(json.loads(json.dumps(arch.to_official()))) == arch
        assert hash(Arch.from_dict(arch.to_dict())) == hash(arch)
        for file in (tmp_path / "a.yaml", tmp_path / "a.json"):
            arch.save(file)
            assert Arch.load(file) == arch
    assert "backbone_setting" in json.loads((tmp_path / "a.json").read_text())


def test_values_stay_beside_the_architecture(tmp_path: Path) -> None:
    arch = SearchSpace.load("tiny").largest()
    arch.save(tmp_path / "a.yaml", about={"source": "a search", "ap": 0.5})
    assert Arch.load(tmp_path / "a.yaml") == arch
    assert read_about(tmp_path / "a.yaml") == {"source": "a search", "ap": 0.5}
    arch.save(tmp_path / "b.yaml")
    assert read_about(tmp_path / "b.yaml") == {}
    with pytest.raises(InputError, match="keeps no notes"):
        arch.save(tmp_path / "a.json", about={"source": "a search"})


def test_lists_become_tuples() -> None:
    plain = Arch.from_dict(small())
    stages = [Stage(s.width, list(s.kernels), list(s.expansions)) for s in plain.stages]  # type: ignore[arg-type]
    arch = Arch(plain.resolution, plain.stem, stages, list(plain.head))  # type: ignore[arg-type]
    assert arch == plain
    assert len({arch, plain}) == 1


CHANGES: list[tuple[tuple[Any, ...], Any, str]] = [
    (("resolution",), 250, "multiple of 32"),
    (("resolution",), 0, "not between"),
    (("resolution",), True, "expected an integer"),
    (("resolution",), 8192, "resolution: 8192"),
    (("stem",), "16", "stem: expected an integer"),
    (("stem",), 1e3, "stem: expected an integer"),
    (("stem",), 10**12, "stem: 1000000000000 is not between"),
    (("head",), [16, 24], "head: expected 3"),
    (("head",), 16, "expected a list"),
    (("head", 1), 4096, "head 2: 4096 is not between 1 and 2048"),
    (("stages",), {}, "stages: expected a list"),
    (("stages", 0), 3, "stage 1: expected a mapping"),
    (("stages", 2, "width"), None, "stage 3 width"),
    (("stages", 2, "kernels"), [], "stage 3 kernels"),
    (("stages", 2, "kernels"), [4], "kernel 4 is even"),
    (("stages", 2, "kernels"), [33], "stage 3 kernel: 33"),
    (("stages", 2, "kernels"), [3, 3], "one entry per block"),
    (("stages", 2, "expansions"), [17], "stage 3 expansion: 17"),
    (("stages", 2, "depth"), 1, "unknown key 'depth'"),
    (("schema",), 2, "schema 2 is not 1"),
    (("about", "x"), None, ""),
]


@pytest.mark.parametrize(("path", "value", "message"), CHANGES)
def test_wrong_values_are_named(path: tuple[Any, ...], value: Any, message: str) -> None:
    changed = copy.deepcopy(small())
    changed["about"] = {}
    node: Any = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    if not message:
        assert Arch.from_dict(changed) == Arch.from_dict(small())
        return
    with pytest.raises(InputError, match=message):
        Arch.from_dict(changed)


def test_too_deep_a_stage() -> None:
    changed = small()
    changed["stages"][0] |= {"kernels": [3] * 65, "expansions": [4] * 65}
    with pytest.raises(InputError, match="stage 1 depth: 65 is not between 1 and 64"):
        Arch.from_dict(changed)


def test_missing_key_and_wrong_kind() -> None:
    changed = small()
    del changed["head"]
    with pytest.raises(InputError, match="key 'head' is missing"):
        Arch.from_dict(changed)
    for value in (None, [], "x", 3):
        with pytest.raises(InputError, match="expected a mapping"):
            Arch.from_dict(value)


def test_names_and_paths(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"litepose-xxs.*litepose-xs"):
        Arch.load("litepose-xxs")
    with pytest.raises(InputError, match="does not exist"):
        Arch.load(tmp_path / "nowhere.yaml")
    with pytest.raises(InputError, match="neither a file nor a name"):
        Arch.load("x" * 5000)
    with pytest.raises(InputError, match="cannot be read"):
        Arch.load("nul\0.yaml")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**small(), "stem": 0}))
    with pytest.raises(InputError, match=r"a\.yaml: stem: 0"):
        Arch.load(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    "text",
    ["a: [", "a: 2020-13-45", "a: !!int ''", "a: !!python/object:os.system x", "&a [*a", "\0", "a: !!bool x"],
)
def test_broken_yaml_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=r"a\.yaml") as caught:
        Arch.load(tmp_path / "a.yaml")
    assert "\n" not in str(caught.value)


def test_shared_nodes_do_not_explode(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (tmp_path / "a.yaml").write_text(
        "\n".join([*lines, "resolution: *a11", "stem: 8", "stages: []", "head: []"])
    )
    with pytest.raises(InputError) as caught:
        Arch.load(tmp_path / "a.yaml")
    assert len(str(caught.value)) < 1000


def test_huge_number_in_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"img_size": ' + "9" * 5000 + "}")
    with pytest.raises(InputError, match="not valid JSON"):
        Arch.load(tmp_path / "a.json")


def test_a_folder_stands_for_its_architecture(tmp_path: Path) -> None:
    Arch.load("litepose-xs").save(tmp_path / "arch.yaml")
    assert Arch.load(tmp_path) == Arch.load("litepose-xs")


def test_nothing_is_written_under_a_compressed_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not compressed"):
        Arch.load("litepose-xs").save(tmp_path / "arch.json.gz")
    assert not list(tmp_path.iterdir())
