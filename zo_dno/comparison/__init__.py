"""Comparing search strategies: many runs, one table, and what can be said of it."""
