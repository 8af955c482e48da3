"""Ray: clusters, and the actors that score and render."""
