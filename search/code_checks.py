"""Codes from outside the search: a user's strategy, a file."""

from __future__ import annotations

from typing import Any

import numpy as np

from supernet.errors import InputError
from supernet.space import Codes
from supernet.space import SearchSpace


def as_codes(space: SearchSpace, value: Any, what: str) -> Codes:
    """`value` as (N, G) codes of `space`; no rows at all may come in any shape.

    Raises:
        InputError: it is something else, which the message calls `what`.
    """
    try:
        codes = np.asarray(value)
    except ValueError:
        raise InputError(f"{what}: its rows are not equally long") from None
    if value is not None and not codes.size:
        return np.zeros((0, len(space.genes)), dtype=np.int64)
    try:
        space.check_codes(codes)
    except InputError as error:
        raise InputError(f"{what}: {error}") from None
    return codes.astype(np.int64)
