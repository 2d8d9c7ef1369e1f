"""Bad records: stop at the first one, or leave it out, count it and list it."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True)
class Skipped:
    """One record that was left out.

    Attributes:
        source: the file it came from.
        record: which record of the file, such as `annotation 17` or `image 104173`.
        reason: what is wrong with it.
    """

    source: str
    record: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.record}: {self.reason}"


class Faults:
    """Collects the bad records of a data set under one policy.

    Args:
        policy: "raise" or "skip" (`DataOptions.on_error`).
    """

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self.skipped: list[Skipped] = []

    def add(self, source: str, record: str, reason: str) -> None:
        """Note that `record` of file `source` is bad.

        Raises:
            InputError: the policy is "raise".
        """
        fault = Skipped(source, record, reason)
        if self.policy == "raise":
            raise InputError(f"{fault}; mend it, or leave such records out with data.on_error=skip")
        self.skipped.append(fault)
