"""Channel sorting after the largest network has had its first steps alone."""

from __future__ import annotations

from .network import Supernet
from .sorting import sort_channels
from .train_options import SamplingOptions
from .training_state import TrainingState


def sort_when_due(state: TrainingState[Supernet], options: SamplingOptions) -> None:
    """Sort the channels once, before the first step that trains narrower subnets."""
    due = options.sort_channels and 0 < options.largest_first <= state.step
    if due and not state.channels_sorted:
        sort_state(state)


def sort_state(state: TrainingState[Supernet]) -> None:
    """Order the channels of the network by importance, and all that mirrors it in the same way."""
    permutations = sort_channels(state.net)
    if state.ema is not None:
        permutations.apply(dict(state.ema.net.named_parameters()))
    for kind in ("exp_avg", "exp_avg_sq", "momentum_buffer"):
        named = {name: state.optimizer.state[p] for name, p in state.net.named_parameters()}
        permutations.apply({name: values[kind] for name, values in named.items() if kind in values})
    state.channels_sorted = True
