"""Measurements of speed, memory and search quality; `make bench` runs those that take minutes on a CPU."""
