"""The Hydra configuration: one primary config per command, and its groups."""
