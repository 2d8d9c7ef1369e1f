"""`python -m subnets.evaluate`: the score of networks on a data set."""

from supernet.registry import lazy_names

lazy_names(__name__, {"main": "__main__"})
