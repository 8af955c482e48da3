"""Pipelines of every family with tiny random weights, and what is checked of each with each scheduler."""
