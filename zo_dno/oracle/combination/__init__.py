"""Combinations: several rewards as the terms of one."""
