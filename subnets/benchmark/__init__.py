"""`python -m subnets.benchmark`: latencies side by side."""

from supernet.registry import lazy_names

lazy_names(__name__, {"main": "__main__"})
