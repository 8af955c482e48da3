"""A quality measure whose packages live in an environment of their own, asked over HTTP.

python quality.py OTHER_PYTHON
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

import zo_dno

HERE = Path(__file__).parent
PROMPT = "forest at day, with a house"


def main(other_python: str) -> None:
    """Serve the measure with another Python, and search for the picture that it likes best."""
    with TemporaryDirectory() as folder:
        server = Path(folder, "server.py")
        server.write_bytes(subprocess.check_output([sys.executable, "-m", "zo_dno", "serve-reward", "--standalone"]))
        python = str(Path(other_python).absolute())  # the server runs in another folder
        command = [python, str(server), "naturalness:naturalness", "--port", "0"]
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with subprocess.Popen(command, cwd=HERE, env=env, stdout=subprocess.PIPE, text=True) as process:
            try:
                url = re.search(r"http://\S+", process.stdout.readline()).group()
                search(url)
            finally:
                process.terminate()


def search(url: str) -> None:
    """Search with the reward at an address."""
    generator = zo_dno.DiffusersGenerator.builtin(PROMPT, model="scenes-64")
    options = {"reward_options": {"url": url}, "held_out": ["prompt_match"], "baseline": "equal"}
    result = zo_dno.optimize(generator, "http", queries=96, seed=0, **options)
    print(f"BRISQUE: first {-result.first.reward:.1f}, best of 96 prior draws {-result.baseline.reward:.1f}, ", end="")
    print(f"search {-result.best.reward:.1f} (plausible: {result.best.plausible}); ", end="")
    print(f"prompt match of the winner {result.held_out['prompt_match'][1]:.2f}")
    pictures = [image.resize((256, 256)) for image in (result.first_image, result.best_image)]
    Image.fromarray(np.hstack([np.asarray(picture) for picture in pictures])).save(HERE / "picture.png")


if __name__ == "__main__":
    main(sys.argv[1])
