"""Training: the recipe's options, the step, the loop, its state and checkpoints, validation."""
