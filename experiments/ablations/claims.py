"""What the paper says about pairs of networks, and the verdict on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.ablations.results import Difference


@dataclass(frozen=True)
class Claim:
    """Two networks of an ablation.

    Attributes:
        first, second: their names; the difference is the second's AP minus the first's.
        paper: the paper's numbers or direction (the second is better), or "" where it says nothing.
    """

    first: str
    second: str
    paper: str = ""


CLAIMS = {
    "kernel": (
        Claim("kernel3", "kernel5", "41.7 to 50.7"),
        Claim("kernel5", "kernel7", "50.7 to 54.7"),
        Claim("kernel3", "kernel7", "41.7 to 54.7"),
        Claim("kernel9", "kernel7", "53.3 to 54.7"),
    ),
    "fusion": (Claim("plain", "kernel7", "47.1 to 54.7"), Claim("no-fusion", "kernel7")),
    "raw_outputs": (Claim("no-raw-outputs", "kernel7"),),
    "shrinking": (
        Claim("multi-branch", "shrunk", "better, no figure"),
        Claim("shrunk", "coarse-blocks", "better, no figure"),
        Claim("coarse-blocks", "kernel7", "better, no figure"),
        Claim("multi-branch", "kernel7", "better, no figure"),
    ),
}


def claims_of(ablation: str) -> tuple[Claim, ...]:
    """What is said about an ablation; nothing about one that a user has added."""
    return CLAIMS.get(ablation, ())


def verdict(claim: Claim, differences: Sequence[Difference]) -> str:
    """All intervals must leave no doubt, and point the same way.

    Returns:
        "agrees" or "disagrees" with the paper, "higher" or "lower" where it says nothing, or "cannot tell".
    """
    up, down = ("agrees", "disagrees") if claim.paper else ("higher", "lower")
    signs = {difference.sign for difference in differences}
    return up if signs == {1} else down if signs == {-1} else "cannot tell"
