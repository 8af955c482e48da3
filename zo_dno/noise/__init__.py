"""Gaussian noise: its layout, the regularizer, and the tests of plausibility."""
