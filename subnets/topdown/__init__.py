"""`python -m subnets.topdown`: networks that look at one person's crop at a time."""

from supernet.registry import lazy_names

lazy_names(__name__, {"main": "__main__"})
