"""Heads: what a network gives, how it learns that and what people are made of it."""
