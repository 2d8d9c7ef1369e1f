"""The networks that are compared: per budget one of each head, of equal MACs within 2%."""

from __future__ import annotations

from supernet import Arch
from supernet.cost import count_macs
from supernet.litepose.arch import Stage

HEADS = ("embedding", "ae_resize", "onestage")
NEAR = 0.02
# Input side of each budget; of both, the stem, widths and depths of the stages, widths of the head (kernel 5,
# expansion 4).
SIDES = {"small": 64, "large": 96}
STEM, WIDTHS, DEPTHS, HEAD_WIDTHS = 16, (16, 24, 40, 64), (1, 2, 2, 2), (32, 24, 24)


def scaled(budget: str, head: str, factor: float) -> Arch:
    """The network of `budget` with this head, all its widths `factor` times as large."""
    stages = [
        Stage(near(factor * width), (5,) * depth, (4,) * depth)
        for width, depth in zip(WIDTHS, DEPTHS, strict=True)
    ]
    head_widths = tuple(near(factor * width) for width in HEAD_WIDTHS)
    return Arch(SIDES[budget], near(factor * STEM), tuple(stages), head_widths, head_kind=head)


def near(width: float) -> int:
    """The nearest even number."""
    return 2 * round(width / 2)


def networks() -> dict[str, dict[str, Arch]]:
    """By budget and head; associative embedding sets the cost, the others are widened up to it."""
    found: dict[str, dict[str, Arch]] = {}
    for budget in SIDES:
        given = scaled(budget, HEADS[0], 1.0)
        wanted = count_macs(given)
        wider = {head: [scaled(budget, head, 1 + step / 400) for step in range(601)] for head in HEADS[1:]}
        found[budget] = {HEADS[0]: given} | {
            head: min(archs, key=lambda arch: abs(count_macs(arch) - wanted)) for head, archs in wider.items()
        }
        assert all(abs(count_macs(arch) / wanted - 1) < NEAR for arch in found[budget].values())
    return found


def space_of(arch: Arch, name: str) -> dict[str, object]:
    """The space that holds `arch` alone."""
    stages = [
        {"width": [s.width], "depth": [s.depth], "kernel": [s.kernels[0]], "expansion": [s.expansions[0]]}
        for s in arch.stages
    ]
    return {
        "schema": 1,
        "name": name,
        "head_kind": arch.head_kind,
        "resolution": [arch.resolution],
        "stem": [arch.stem],
        "stages": stages,
        "head": [[width] for width in arch.head],
    }


if __name__ == "__main__":
    for budget, by_head in networks().items():
        for head, arch in by_head.items():
            widths = [stage.width for stage in arch.stages]
            print(f"{budget:6} {head:10} {count_macs(arch) / 1e6:7.2f} M {widths} {arch.head}")
