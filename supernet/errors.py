"""The one exception that means "the input is wrong", told apart from our own bugs."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input from the user: one line that names the thing and the mend.

    Library code raises it; the commands print it without a traceback and exit with status 2.
    """
