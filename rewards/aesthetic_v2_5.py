"""The beauty of an image, regardless of the prompt, by Aesthetic Predictor V2.5: a head on SigLIP's embedding."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.errors import InputError
from zo_dno.rewards.learned import LearnedReward
from zo_dno.rewards.linear_head import LinearHead
from zo_dno.storage.read_weights import check_type, load_whole, read_once, read_tensors, reading
from zo_dno.storage.weights import WEIGHTS, model_folder, weights_file

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

_SOURCE = "https://github.com/discus0434/aesthetic-predictor-v2-5/raw/main/models/aesthetic_predictor_v2_5.pth"
_PROCESSOR = ("preprocessor_config.json or processor_config.json",)


@dataclass(frozen=True)
class AestheticV25(LearnedReward):
    """Rating of the image's beauty on a scale of 1 to 10 that is not enforced; its author calls 5.5 and more great.

    A stack of linear layers on SigLIP's pooled embedding at length 1. It rates illustrations as well as photographs.
    The prompt is ignored.

    Class: transformers' SiglipVisionModel and a `LinearHead`. Licence of the weights: head AGPL-3.0, SigLIP Apache-2.0.
    Published check value: none in writing; the repository aesthetic-predictor-v2-5 has a picture with scores.

    Args:
        model: Folder or hub name of the SigLIP that the head was trained on.
        head: File with the linear layers scoring_head.<number>.weight and .bias, safetensors or .pth; or a folder with
            one such file. The default is where the author's package downloads it to.
    """

    name = "aesthetic_v2_5"
    unit = "rating 1-10"
    model: str = "google/siglip-so400m-patch14-384"
    head: str = "~/.cache/torch/hub/checkpoints/aesthetic_predictor_v2_5.pth"

    @property
    def weights(self) -> dict[str, Path]:
        model = model_folder(f"model of {self.name}", self.model, (*WEIGHTS, *_PROCESSOR))
        return {"model": model, "head": weights_file(f"head of {self.name}", self.head, _SOURCE)}

    def _scores(self, images: "list[Image.Image]", prompts: list[str], device: str) -> "Tensor":
        from torch.nn.functional import normalize

        where = self.weights
        head = load_head(where["head"], device)
        network, processor = load_siglip(where["model"], self.dtype, device)
        pixels = processor(images=images, return_tensors="pt").pixel_values.to(device, network.dtype)
        embeddings = normalize(network(pixel_values=pixels).pooler_output.float(), dim=-1)
        if embeddings.shape[1] != head.width:
            raise InputError(
                f"head must take embeddings of {embeddings.shape[1]} numbers, as {self.model} gives them; got one that "
                f"takes {head.width}. The published one is for {AestheticV25.model}."
            )
        return head(embeddings)


@read_once
def load_head(file: Path, device: str) -> LinearHead:
    """Read the linear layers of the predictor.

    Raises:
        InputError: The layers cannot be read.
    """
    tensors = read_tensors("head", file)
    with reading("head", file):
        return LinearHead.of(tensors, "scoring_head.", device)


@read_once
def load_siglip(folder: Path, dtype: str, device: str) -> tuple[Any, Any]:
    """Read the image encoder of a SigLIP model, and the image processor that scales to its square by PIL.

    Raises:
        InputError: The model cannot be read, is of another kind, or is not whole.
    """
    from transformers import SiglipImageProcessorPil, SiglipVisionModel

    with reading("model", folder):
        check_type(folder, "siglip")
        network = load_whole(SiglipVisionModel, folder, dtype=dtype)
        processor = SiglipImageProcessorPil.from_pretrained(folder, local_files_only=True)
    return network.to(device), processor
