"""`python -m subnets.finetune`: a subnet trained on from its inherited weights."""

from supernet.registry import lazy_names

lazy_names(__name__, {"main": "__main__"})
