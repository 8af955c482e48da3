"""The built-in text-to-image model: small landscapes, rendered offline on any CPU."""

from pathlib import Path

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
PIPELINE_FOLDER = WEIGHTS_FOLDER / "pipeline"
JUDGE_FILE = WEIGHTS_FOLDER / "judge.safetensors"

# Measured: see CARD.md.
DEFAULT_STEPS = 8
DEFAULT_GUIDANCE = 1.0
