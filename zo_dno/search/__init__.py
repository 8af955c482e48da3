"""The search: ask for noise, render, score, record, tell."""
