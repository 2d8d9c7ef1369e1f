"""What candidates cost: tables over codes, budgets, latency."""
