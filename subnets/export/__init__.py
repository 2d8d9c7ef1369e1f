"""`python -m subnets.export`: networks as files that devices run."""

from supernet.registry import lazy_names

lazy_names(__name__, {"main": "__main__"})
