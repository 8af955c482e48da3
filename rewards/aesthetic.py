"""The beauty of an image, regardless of the prompt, by LAION's improved aesthetic predictor."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zo_dno.errors import InputError
from zo_dno.rewards.clip import PROCESSORS, load_clip
from zo_dno.rewards.learned import LearnedReward
from zo_dno.rewards.linear_head import LinearHead
from zo_dno.storage.read_weights import read_once, read_tensors, reading
from zo_dno.storage.weights import WEIGHTS, model_folder, weights_file

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor


@dataclass(frozen=True)
class Aesthetic(LearnedReward):
    """Rating that people would give the image, on a scale of 1 to 10 that is not enforced; most lie in 4 to 7.

    A stack of linear layers on CLIP's embedding of the image, trained on ratings of pictures (Schuhmann et al. 2022,
    arXiv:2210.08402, and its repository improved-aesthetic-predictor). The prompt is ignored.

    Class: transformers' CLIPModel and a `LinearHead`. Licence of the weights: Apache-2.0, as that repository; CLIP's
    MIT. Published check value: none.

    Args:
        model: Folder or hub name of the CLIP model that the head was trained on.
        head: File with the linear layers layers.<number>.weight and .bias, safetensors or .pth; or a folder with one
            such file; or OWNER/NAME/FILE on the hub.
    """

    name = "aesthetic"
    unit = "rating 1-10"
    model: str = "openai/clip-vit-large-patch14"
    head: str = "trl-lib/ddpo-aesthetic-predictor/aesthetic-model.pth"

    @property
    def weights(self) -> dict[str, Path]:
        model = model_folder(f"model of {self.name}", self.model, (*WEIGHTS, *PROCESSORS))
        return {"model": model, "head": weights_file(f"head of {self.name}", self.head)}

    def _scores(self, images: "list[Image.Image]", prompts: list[str], device: str) -> "Tensor":
        where = self.weights
        head = load_head(where["head"], device)
        embeddings = load_clip(where["model"], self.dtype, device).embed_images(images)
        if embeddings.shape[1] != head.width:
            raise InputError(
                f"head must take embeddings of {embeddings.shape[1]} numbers, as {self.model} gives them; got one that "
                f"takes {head.width}. The published ones are for {Aesthetic.model}."
            )
        return head(embeddings)


@read_once
def load_head(file: Path, device: str) -> LinearHead:
    """Read the linear layers of an aesthetic predictor.

    Raises:
        InputError: The layers cannot be read.
    """
    tensors = read_tensors("head", file)
    with reading("head", file):
        return LinearHead.of(tensors, "layers.", device)
