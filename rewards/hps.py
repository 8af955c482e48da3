"""People's preference among images of a prompt, by the Human Preference Score v2 (Wu et al. 2023, arXiv:2306.09341)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from zo_dno.rewards.clip import CLIP, PROCESSORS, load_clip, ready_clip
from zo_dno.rewards.learned import LearnedReward
from zo_dno.storage.read_weights import check_type, load_whole, read_once, read_tensors, reading
from zo_dno.storage.weights import WEIGHTS, is_file_name, model_folder, weights_file

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

# Names of modules in open_clip and in transformers, in the order in which they are replaced.
_BLOCKS = "transformer.resblocks."
_WHOLE_NAMES = {
    "logit_scale": "logit_scale",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "text_projection": "text_projection.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.proj": "visual_projection.weight",
}
_MODULES = {
    f"visual.{_BLOCKS}": "vision_model.encoder.layers.",
    _BLOCKS: "text_model.encoder.layers.",
    "visual.conv1.": "vision_model.embeddings.patch_embedding.",
    "visual.ln_pre.": "vision_model.pre_layrnorm.",  # spelt like this in transformers
    "visual.ln_post.": "vision_model.post_layernorm.",
    "token_embedding.": "text_model.embeddings.token_embedding.",
    "ln_final.": "text_model.final_layer_norm.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
    ".attn.": ".self_attn.",
}


@dataclass(frozen=True)
class HPS(LearnedReward):
    """Cosine of image and prompt in the space of a CLIP trained on people's choices, in [-1, 1]; most are 0.2 to 0.35.

    The authors' package returns the same value; their tables print it times 100. Images are scaled to fit a square and
    padded with black, as in that package, and not cropped.

    Class: transformers' CLIPModel. Licence of the weights: Apache-2.0, as the repository HPSv2. Published check value:
    none.

    Args:
        model: File in open_clip's format, such as the authors' HPS_v2.1_compressed.pt or HPS_v2_compressed.pt, locally
            or as OWNER/NAME/FILE on the hub; or folder or hub name of a model in transformers' format.
        base: Folder or hub name with the configuration, tokenizer and image processor for such a file, without weights.
    """

    name = "hps"
    unit = "cosine"
    range = (-1.0, 1.0)
    tolerance: ClassVar[float] = 1e-5
    model: str = "xswu/HPSv2/HPS_v2.1_compressed.pt"
    base: str = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"

    @property
    def weights(self) -> dict[str, Path]:
        if is_file_name(self.model):
            file = weights_file(f"model of {self.name}", self.model)
            return {
                "model": file,
                "base": model_folder(f"base of {self.name}", self.base, ("config.json", *PROCESSORS)),
            }
        return {"model": model_folder(f"model of {self.name}", self.model, (*WEIGHTS, *PROCESSORS))}

    def _scores(self, images: "list[Image.Image]", prompts: list[str], device: str) -> "Tensor":
        from PIL import Image, ImageOps

        where = self.weights
        if "base" in where:
            clip = load_open_clip(where["model"], where["base"], self.dtype, device)
        else:
            clip = load_clip(where["model"], self.dtype, device)
        square = (clip.side, clip.side)
        return clip.cosines([ImageOps.pad(image, square, Image.Resampling.BICUBIC) for image in images], prompts)


@read_once
def load_open_clip(file: Path, base: Path, dtype: str, device: str) -> CLIP:
    """Read a CLIP model that open_clip saved.

    Raises:
        InputError: The file or the base cannot be read, or they do not fit each other.
    """
    from transformers import CLIPConfig, CLIPModel

    tensors = read_tensors("model", file)
    with reading("base", base):
        check_type(base, "clip")
        config = CLIPConfig.from_pretrained(base, local_files_only=True)
    with reading("model", file):
        network = load_whole(CLIPModel, None, config=config, state_dict=from_open_clip(tensors), dtype="float32")
    return ready_clip(network, base, dtype, device)


def from_open_clip(tensors: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """Rename the weights of an open_clip model to those of transformers' CLIPModel."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        new = _WHOLE_NAMES.get(name, name)
        if new == name:
            for module, replacement in _MODULES.items():
                new = new.replace(module, replacement)
        if ".in_proj_" in new:  # query, key and value are stacked
            for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                renamed[new.replace("in_proj_", f"{letter}_proj.")] = third
        else:
            renamed[new] = tensor.T if name in ("text_projection", "visual.proj") else tensor
    return renamed
