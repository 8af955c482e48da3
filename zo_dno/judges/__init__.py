"""Judges: vision-language models and people, and how their responses become scores."""
