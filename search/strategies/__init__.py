"""What to evaluate next: strategies and what they are made of."""
