"""`python -m subnets.predict`: people in images, folders, videos and cameras."""

from supernet.registry import lazy_names

lazy_names(__name__, {"main": "__main__"})
