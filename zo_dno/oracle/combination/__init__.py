"""Combinations: several rewards asked and weighed as one."""
