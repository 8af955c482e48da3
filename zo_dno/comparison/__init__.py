"""Comparison of search strategies: many runs, their table, its statistics and the report."""
