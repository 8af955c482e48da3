"""Measurements of speed, memory and search quality; `make bench` runs them all."""
