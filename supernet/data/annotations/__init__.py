"""Annotation files, checked record by record."""
