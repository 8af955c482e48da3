"""The built-in text-to-image model: small landscapes, rendered offline on any CPU."""

from pathlib import Path

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
PIPELINE_FOLDER = WEIGHTS_FOLDER / "pipeline"
LARGE_AUTOENCODER = WEIGHTS_FOLDER / "vae-128"
JUDGE_FILE = WEIGHTS_FOLDER / "judge.safetensors"

LARGE_SIDE = 128
SIDES = {"scenes-128": LARGE_SIDE, "scenes-64": 64}
"""Width and height of the images, in pixels, by the names of the model; the latents are the same."""
SHORT = "scenes"
ALIASES = {SHORT: "scenes-128"}
BEFORE = {SHORT: "scenes-64"}
"""What a name meant where a run has recorded it: since there are two sizes, runs record the one with the size."""

# Measured: see CARD.md.
DEFAULT_STEPS = 8
DEFAULT_GUIDANCE = 1.0
