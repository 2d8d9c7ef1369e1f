"""The JSON form of the released LitePose configurations, to and from our plain form.

Keys (LitePose, `mobile_configs/*.json`): `img_size`, `input_channel`, `deconv_setting`, and per stage in
`backbone_setting` `num_blocks`, `stride`, `channel` and `block_setting`, a list of `[expansion, kernel]` per
block.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import check_keys
from .checks import positive_ints
from .checks import shown
from .errors import InputError

STRIDES = (2, 2, 2, 1)


def is_official(value: Mapping[Any, Any]) -> bool:
    """Whether `value` is of the official form."""
    return "backbone_setting" in value


def to_plain(value: Mapping[Any, Any]) -> dict[str, Any]:
    """The official form `value` as our plain form; sizes are checked by whoever reads that.

    Raises:
        InputError: the structure is not that of a LitePose configuration.
    """
    check_keys(value, required=("img_size", "input_channel", "deconv_setting", "backbone_setting"))
    stages = value["backbone_setting"]
    if not isinstance(stages, list):
        raise InputError(f"backbone_setting: expected a list, found {type(stages).__name__}")
    if len(stages) != len(STRIDES):
        raise InputError(f"backbone_setting: expected {len(STRIDES)} stages, found {len(stages)}")
    return {
        "resolution": value["img_size"],
        "stem": value["input_channel"],
        "stages": [_stage(stage, number) for number, stage in enumerate(stages, start=1)],
        "head": value["deconv_setting"],
    }


def _stage(stage: Any, number: int) -> dict[str, Any]:
    what = f"backbone_setting stage {number}"
    if not isinstance(stage, Mapping):
        raise InputError(f"{what}: expected a mapping, found {type(stage).__name__}")
    check_keys(stage, required=("num_blocks", "stride", "channel", "block_setting"), what=what)
    stride = STRIDES[number - 1]
    if stage["stride"] != stride or isinstance(stage["stride"], bool):
        raise InputError(f"{what}: stride {shown(stage['stride'])}, but this family has {stride} there")
    blocks = stage["block_setting"]
    if not isinstance(blocks, list) or not blocks:
        raise InputError(f"{what}: block_setting must be a list of [expansion, kernel]")
    if stage["num_blocks"] != len(blocks):
        count = shown(stage["num_blocks"])
        raise InputError(f"{what}: num_blocks is {count}, block_setting has {len(blocks)}")
    pairs = [positive_ints(block, f"{what} block {index}") for index, block in enumerate(blocks, start=1)]
    for index, pair in enumerate(pairs, start=1):
        if len(pair) != 2:
            raise InputError(f"{what} block {index}: expected [expansion, kernel], found {len(pair)} numbers")
    return {
        "width": stage["channel"],
        "kernels": [kernel for _, kernel in pairs],
        "expansions": [expansion for expansion, _ in pairs],
    }


def from_plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Our plain form `value` in the official form.

    Raises:
        InputError: that form has no place for something.
    """
    for key in value:
        if key not in ("schema", "resolution", "stem", "stages", "head"):
            raise InputError(f"the official form has no place for {key}; keep this network as .yaml")
    return {
        "img_size": value["resolution"],
        "input_channel": value["stem"],
        "deconv_setting": list(value["head"]),
        "backbone_setting": [
            {
                "num_blocks": len(stage["kernels"]),
                "stride": stride,
                "channel": stage["width"],
                "block_setting": [[e, k] for e, k in zip(stage["expansions"], stage["kernels"], strict=True)],
            }
            for stage, stride in zip(value["stages"], STRIDES, strict=True)
        ],
    }
