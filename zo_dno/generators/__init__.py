"""Generators: a diffusion pipeline, or any function, as a deterministic map from noise to images."""
