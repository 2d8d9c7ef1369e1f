"""Measuring a device: what is timed, where, and the file that keeps it."""
