"""The oracle: reliable, parallel calls of a reward, with retries, limits, prices and a cache."""
