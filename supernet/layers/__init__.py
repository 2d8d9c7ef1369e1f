"""Elastic layers, one per file."""
