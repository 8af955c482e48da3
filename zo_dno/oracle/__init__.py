"""The oracle: a reward that is asked reliably, in parallel, with retries, limits, prices and a cache."""
