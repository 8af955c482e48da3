"""Results: what a run found, its outputs, its state, and reports of it."""
