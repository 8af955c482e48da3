"""Runs that are killed, stopped and resumed, compared with ones that nothing happened to."""
