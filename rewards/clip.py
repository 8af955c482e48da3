"""The agreement of image and prompt, by a CLIP model (Radford et al. 2021, arXiv:2103.00020)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.rewards.learned import LearnedReward
from zo_dno.storage.read_weights import check_type, load_whole, read_once, reading
from zo_dno.storage.weights import TOKENIZER, WEIGHTS, model_folder

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

PROCESSORS = (*TOKENIZER, "preprocessor_config.json or processor_config.json")


@dataclass(frozen=True, slots=True, eq=False)
class CLIP:
    """A CLIP model that turns images and texts into unit vectors of one space.

    Attributes:
        network: Network that computes features, transformers' CLIPModel.
        tokenizer: Tokenizer of the checkpoint.
        processor: Image processor of the checkpoint, which scales, crops and normalises by PIL.
        scale: Factor exp(logit_scale) in float32; bfloat16 would change it by a percent.
    """

    network: Any
    tokenizer: Any
    processor: Any
    scale: float

    @property
    def side(self) -> int:
        """Side of the network's square images, in pixels."""
        return int(self.network.config.vision_config.image_size)

    def embed_images(self, images: "list[Image.Image]") -> "Tensor":
        """Embed RGB images: (n, width) float32, each row of length 1."""
        pixels = self.processor(images=images, return_tensors="pt").pixel_values
        features = self.network.get_image_features(pixel_values=pixels.to(self.network.device, self.network.dtype))
        return _unit(features.pooler_output)

    def embed_texts(self, texts: list[str]) -> "Tensor":
        """Embed texts: (n, width) float32, each row of length 1. What exceeds the network's 77 tokens is cut off."""
        length = self.network.config.text_config.max_position_embeddings
        tokens = self.tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        features = self.network.get_text_features(
            input_ids=tokens.input_ids.to(self.network.device),
            attention_mask=tokens.attention_mask.to(self.network.device),
        )
        return _unit(features.pooler_output)

    def cosines(self, images: "list[Image.Image]", prompts: list[str]) -> "Tensor":
        """Compare each image with its prompt: (n,) float32 in [-1, 1]. Equal prompts are embedded once."""
        different = list(dict.fromkeys(prompts))
        texts = self.embed_texts(different)[[different.index(prompt) for prompt in prompts]]
        return (self.embed_images(images) * texts).sum(dim=1).clamp(-1, 1)


@dataclass(frozen=True)
class ClipScore(LearnedReward):
    """100 max(cosine, 0) of image and prompt in CLIP's space, in [0, 100]; most prompts and images lie in 15 to 40.

    Hessel et al. (2021, arXiv:2104.08718) scale by 2.5, so divide by 40 for theirs; and they write "A photo depicts"
    before a caption, which this reward does not.

    Class: transformers' CLIPModel. Licence of the weights: MIT, as OpenAI's repository CLIP. Published check value: the
    softmax over three captions of that repository's CLIP.png, for ViT-B/32.

    Args:
        model: Folder or hub name of any CLIP that transformers loads as CLIPModel.
    """

    name = "clip_score"
    unit = "100 cosine"
    range = (0.0, 100.0)
    model: str = "openai/clip-vit-large-patch14"

    @property
    def weights(self) -> dict[str, Path]:
        return {"model": model_folder(f"model of {self.name}", self.model, (*WEIGHTS, *PROCESSORS))}

    def _scores(self, images: "list[Image.Image]", prompts: list[str], device: str) -> "Tensor":
        return 100 * load_clip(self.weights["model"], self.dtype, device).cosines(images, prompts).clamp(min=0)


@dataclass(frozen=True)
class PickScore(LearnedReward):
    """Logit that a CLIP trained on people's picks gives image and prompt (Kirstain et al. 2023, arXiv:2305.01569).

    It is exp(logit_scale) cosine, about 100 times the cosine; most prompts and images lie in 17 to 25. The softmax of
    two images' scores for one prompt is the probability that people pick one over the other.

    Class: transformers' CLIPModel. Licence of the weights: MIT, as the repository PickScore. Published check value:
    none.

    Args:
        model: Folder or hub name.
    """

    name = "pick_score"
    unit = "logit"
    model: str = "yuvalkirstain/PickScore_v1"

    @property
    def weights(self) -> dict[str, Path]:
        return {"model": model_folder(f"model of {self.name}", self.model, (*WEIGHTS, *PROCESSORS))}

    def _scores(self, images: "list[Image.Image]", prompts: list[str], device: str) -> "Tensor":
        clip = load_clip(self.weights["model"], self.dtype, device)
        return clip.scale * clip.cosines(images, prompts)


@read_once
def load_clip(folder: Path, dtype: str, device: str) -> CLIP:
    """Read a CLIP model as transformers saves it.

    Raises:
        InputError: The model cannot be read, is of another kind, or is not whole.
    """
    from transformers import CLIPModel

    with reading("model", folder):
        check_type(folder, "clip")
        network = load_whole(CLIPModel, folder, dtype="float32")
    return ready_clip(network, folder, dtype, device)


def ready_clip(network: Any, folder: Path, dtype: str, device: str) -> CLIP:
    """Put a CLIPModel in float32 together with the tokenizer and the image processor of a folder.

    Raises:
        InputError: The folder cannot be read.
    """
    import torch
    from transformers import CLIPImageProcessorPil, CLIPTokenizer

    scale = float(network.logit_scale.detach().exp())
    with reading("model", folder):
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        processor = CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True)
    return CLIP(network.to(device, getattr(torch, dtype)), tokenizer, processor, scale)


def _unit(features: "Tensor") -> "Tensor":
    from torch.nn.functional import normalize

    return normalize(features.float(), dim=-1)
