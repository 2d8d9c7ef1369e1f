"""A module outside the packages, as a user writes one: it registers one thing of every kind.

The commands import it by `plugins=[toy]`; docs/extending.md tells it section by section.
"""

from __future__ import annotations

# --- Family: a network of its own -----------------------------------------------------------------------

# --- Head: what a network gives, how it learns that, how people are read from it --------------------------

# --- Cost: a maximum --------------------------------------------------------------------------------------

# --- Protocol: what a data set asks -----------------------------------------------------------------------

# --- Layout: where files lie ------------------------------------------------------------------------------

# --- Format: of an export ---------------------------------------------------------------------------------

# --- Strategy: what a search evaluates next ---------------------------------------------------------------

# --- Accuracy model: what a search expects of what it has not evaluated -----------------------------------
