"""Elastic layers."""
