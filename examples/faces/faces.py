"""Faces that a face detector is sure of: the noise of a GAN, searched for OpenCV's opinion."""

from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import torch
from gan_face_generate.models import Generator
from PIL import Image

import zo_dno

HERE = Path(__file__).parent
cv2.setNumThreads(1)
DETECTOR = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")


def gan() -> zo_dno.FunctionGenerator:
    """Return the DCGAN of the package gan-face-generate, which turns 100 Gaussian numbers into 64x64 pixels."""
    network = Generator(ngpu=1, nc=3, nz=100, ngf=64).eval()
    weights = torch.load(str(files("gan_face_generate") / "weights.tar"), map_location="cpu", weights_only=True)
    network.load_state_dict(weights["netG_state_dict"])

    def dcgan(z: torch.Tensor) -> torch.Tensor:
        return (network(z[:, :, None, None]) / 2 + 0.5).clamp(0, 1)

    return zo_dno.FunctionGenerator(dcgan, shape=(100,), batch_size=32)


def detections(images, prompts):
    """Count the windows that the detector takes for one and the same face: the more, the surer."""
    return [_windows(np.asarray(image)) for image in images]


def _windows(image: np.ndarray) -> int:
    large = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (160, 160), interpolation=cv2.INTER_CUBIC)
    _, counts = DETECTOR.detectMultiScale2(large, scaleFactor=1.05, minNeighbors=1)
    return int(max(counts, default=0))


if __name__ == "__main__":
    result = zo_dno.optimize(gan(), detections, queries=256, seed=0, baseline="equal")
    print(f"windows: first {result.first.reward:.0f}, best of 256 prior draws {result.baseline.reward:.0f}, ", end="")
    print(f"search {result.best.reward:.0f} (plausible: {result.best.plausible})")
    pictures = [Image.fromarray(found.image).resize((256, 256)) for found in (result.first, result.best)]
    Image.fromarray(np.hstack([np.asarray(picture) for picture in pictures])).save(HERE / "picture.png")
