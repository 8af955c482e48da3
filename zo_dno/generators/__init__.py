"""Generators: diffusion pipelines and functions as deterministic maps from noise to images."""
