"""People's preference among images of a prompt, by ImageReward (Xu et al. 2023, arXiv:2304.05977)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.rewards.learned import LearnedReward
from zo_dno.rewards.linear_head import LinearHead
from zo_dno.storage.read_weights import load_whole, read_once, read_tensors, reading
from zo_dno.storage.weights import TOKENIZER, model_folder, weights_file

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

_MEAN, _DEVIATION = 0.16717362830052426, 1.0333394966054072  # of raw scores, in the authors' ImageReward.py
_LENGTH = 35  # tokens, likewise
_HEAD = 64  # width of an attention head, in ViT-L as in BERT
_VISION_EPSILON = 1e-6  # of layer norms, in BLIP's vit.py; transformers' default for BLIP is another

# Names of modules in BLIP's ViT and in transformers, in the order in which they are replaced.
_VISION_MODULES = {
    "cls_token": "embeddings.class_embedding",
    "pos_embed": "embeddings.position_embedding",
    "patch_embed.proj.": "embeddings.patch_embedding.",
    "blocks.": "encoder.layers.",
    ".norm1.": ".layer_norm1.",
    ".norm2.": ".layer_norm2.",
    ".attn.qkv.": ".self_attn.qkv.",
    ".attn.proj.": ".self_attn.projection.",
}


@dataclass(frozen=True, slots=True, eq=False)
class BLIP:
    """BLIP's image encoder, its text encoder that looks at the image, and a head that turns that into a score."""

    vision: Any
    text: Any
    head: LinearHead
    tokenizer: Any
    processor: Any

    def score(self, images: "list[Image.Image]", prompts: list[str]) -> "Tensor":
        """Score RGB images: (n,) float32, before standardising."""
        device, dtype = self.vision.device, self.vision.dtype
        pixels = self.processor(images=images, return_tensors="pt").pixel_values.to(device, dtype)
        tokens = self.tokenizer(prompts, padding="max_length", truncation=True, max_length=_LENGTH, return_tensors="pt")
        read = self.text(
            input_ids=tokens.input_ids.to(device),
            attention_mask=tokens.attention_mask.to(device),
            encoder_hidden_states=self.vision(pixel_values=pixels).last_hidden_state,
        )
        return self.head(read.last_hidden_state[:, 0].float())


@dataclass(frozen=True)
class ImageReward(LearnedReward):
    """People's preference for the image given the prompt, in standard deviations of raw scores; most lie in -2 to 2.

    The network reads the first 35 tokens of a prompt.

    Class: transformers' BlipVisionModel and BlipTextModel, and a `LinearHead`. Licence of the weights: Apache-2.0, as
    the repository ImageReward. Published check value: of four pictures, 0.58, 0.27, -1.41 and -2.03, in that
    repository's README.

    Args:
        model: File of the authors' weights, ImageReward.pt or the same as safetensors, locally or as OWNER/NAME/FILE on
            the hub.
        tokenizer: Folder or hub name of BERT's uncased tokenizer.
    """

    name = "image_reward"
    unit = "standard deviations"
    model: str = "zai-org/ImageReward/ImageReward.pt"
    tokenizer: str = "google-bert/bert-base-uncased"

    @property
    def weights(self) -> dict[str, Path]:
        file = weights_file(f"model of {self.name}", self.model)
        return {"model": file, "tokenizer": model_folder(f"tokenizer of {self.name}", self.tokenizer, TOKENIZER)}

    def _scores(self, images: "list[Image.Image]", prompts: list[str], device: str) -> "Tensor":
        where = self.weights
        blip = load_blip(where["model"], where["tokenizer"], self.dtype, device)
        return (blip.score(images, prompts) - _MEAN) / _DEVIATION


@read_once
def load_blip(file: Path, tokenizer: Path, dtype: str, device: str) -> BLIP:
    """Read the weights that ImageReward's authors published, and shape BLIP by them.

    Raises:
        InputError: The file or the tokenizer cannot be read, or weights are missing.
    """
    from transformers import BertTokenizer, BlipTextModel, BlipVisionModel, CLIPImageProcessorPil

    tensors = read_tensors("model", file)
    with reading("model", file):
        vision_tensors, text_tensors = vision_weights(tensors), text_weights(tensors)
        side, vision_config = vision_shape(vision_tensors)
        vision = load_whole(BlipVisionModel, None, config=vision_config, state_dict=vision_tensors, dtype=dtype)
        text_options = {"config": text_shape(text_tensors), "add_pooling_layer": False, "dtype": dtype}
        text = load_whole(BlipTextModel, None, state_dict=text_tensors, **text_options)
        head = LinearHead.of(tensors, "mlp.layers.", device)
    with reading("tokenizer", tokenizer):
        read = BertTokenizer.from_pretrained(tokenizer, local_files_only=True)
    square = {"height": side, "width": side}
    processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=square)
    return BLIP(vision.to(device), text.to(device), head, read, processor)


def vision_weights(tensors: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """Rename the published weights of the image encoder to those of transformers' BlipVisionModel."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in _below("blip.visual_encoder.", tensors).items():
        new = re.sub(r"^norm\.", "post_layernorm.", name)
        for module, replacement in _VISION_MODULES.items():
            new = new.replace(module, replacement)
        renamed[new] = tensor
    return renamed


def text_weights(tensors: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """Select the published weights of the text encoder, whose names are those of transformers' BlipTextModel."""
    return _below("blip.text_encoder.", tensors)


def vision_shape(tensors: "dict[str, Tensor]") -> tuple[int, Any]:
    """Infer the image encoder's shape from its weights: side of an image in pixels, and transformers' configuration."""
    from transformers import BlipVisionConfig

    patch = tensors["embeddings.patch_embedding.weight"].shape[-1]
    positions, width = tensors["embeddings.position_embedding"].shape[1:]
    side = patch * round((positions - 1) ** 0.5)  # one position is the class token's
    return side, BlipVisionConfig(
        hidden_size=width,
        intermediate_size=tensors["encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=_n_layers("encoder.layers.", tensors),
        num_attention_heads=width // _HEAD,
        image_size=side,
        patch_size=patch,
        layer_norm_eps=_VISION_EPSILON,
    )


def text_shape(tensors: "dict[str, Tensor]") -> Any:
    """Infer transformers' configuration of the text encoder from its weights."""
    from transformers import BlipTextConfig

    words, width = tensors["embeddings.word_embeddings.weight"].shape
    return BlipTextConfig(
        vocab_size=words,
        hidden_size=width,
        encoder_hidden_size=tensors["encoder.layer.0.crossattention.self.key.weight"].shape[1],
        intermediate_size=tensors["encoder.layer.0.intermediate.dense.weight"].shape[0],
        num_hidden_layers=_n_layers("encoder.layer.", tensors),
        num_attention_heads=width // _HEAD,
        max_position_embeddings=tensors["embeddings.position_embeddings.weight"].shape[0],
    )


def _below(prefix: str, tensors: "dict[str, Tensor]") -> "dict[str, Tensor]":
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _n_layers(prefix: str, tensors: "dict[str, Tensor]") -> int:
    return 1 + max(int(name.removeprefix(prefix).partition(".")[0]) for name in tensors if name.startswith(prefix))
