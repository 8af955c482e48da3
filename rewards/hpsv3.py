"""People's preference among images of a prompt, by the Human Preference Score v3 (Ma et al. 2025, arXiv:2508.03789)."""

import ast
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.errors import InputError
from zo_dno.rewards.learned import LearnedReward, Precision
from zo_dno.rewards.linear_head import LinearHead
from zo_dno.storage.read_weights import check_type, load_whole, read_once, read_tensors, reading
from zo_dno.storage.weights import TOKENIZER, model_folder, weights_file

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

_PIXELS = 256 * 28 * 28  # of every image, in the authors' inference.py
_REWARD = "<|Reward|>"  # token that the score is read at
_IMAGE = "<|image_pad|>"
_CHAT = (  # Qwen2-VL's, with its default system message
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>"
    f"{_IMAGE}<|vision_end|>{{text}}<|im_end|>\n<|im_start|>assistant\n"
)
_MODULES = {  # names of transformers 4.45, which the weights were saved with, and of today
    r"^(model\.)?visual\.": "visual.",
    r"^model\.language_model\.": "language_model.",
    r"^model\.": "language_model.",
}


@dataclass(frozen=True)
class HPSv3(LearnedReward):
    """Mean of the distribution of people's preference that a Qwen2-VL trained on choices predicts; most are 0 to 15.

    As in the authors' package: every image has about 256 tokens, the instruction asks for a rating, and a head reads
    the hidden state of one token. Positions of tokens count up by one, those of the image too, unlike Qwen2-VL's own.

    Class: transformers' Qwen2VLModel and a `LinearHead`. Licence of the weights: MIT, as the authors' package;
    Qwen2-VL's Apache-2.0. Published check value: none.

    Args:
        model: File of the authors' weights, locally or as OWNER/NAME/FILE on the hub.
        base: Folder or hub name with Qwen2-VL's configuration, tokenizer and image processor, without weights.
        instruction: Text file with what is asked, in which {text_prompt} stands for the prompt; or the module
            data_collator_qwen.py of the authors' package, which holds it. By default it is read from the installed
            package, none of whose code is run.
    """

    name = "hpsv3"
    unit = "preference"
    model: str = "MizzenAI/HPSv3/HPSv3.safetensors"
    batch: int = 1
    dtype: Precision = "bfloat16"
    base: str = "Qwen/Qwen2-VL-7B-Instruct"
    instruction: str | None = None

    @property
    def weights(self) -> dict[str, Path]:
        processor = "preprocessor_config.json or processor_config.json"
        return {
            "model": weights_file(f"model of {self.name}", self.model),
            "base": model_folder(f"base of {self.name}", self.base, ("config.json", *TOKENIZER, processor)),
            "instruction": instruction_file(self.instruction),
        }

    def _scores(self, images: "list[Image.Image]", prompts: list[str], device: str) -> "Tensor":
        where = self.weights
        asked = read_instruction(where["instruction"])
        texts = [asked.replace("{text_prompt}", prompt) for prompt in prompts]
        return load_hpsv3(where["model"], where["base"], self.dtype, device).score(images, texts)


@dataclass(frozen=True, slots=True, eq=False)
class PreferenceModel:
    """The networks of HPSv3."""

    network: Any
    head: LinearHead
    tokenizer: Any
    processor: Any

    def score(self, images: "list[Image.Image]", texts: list[str]) -> "Tensor":
        """Score RGB images by what is asked of each: (n,) float32."""
        import torch

        device = self.network.device
        seen = self.processor(images=images, return_tensors="pt")
        sizes = seen.image_grid_thw.prod(dim=1) // self.processor.merge_size**2
        asked = [
            _CHAT.replace("{text}", text).replace(_IMAGE, _IMAGE * int(size), 1)
            for text, size in zip(texts, sizes, strict=True)
        ]
        tokens = self.tokenizer(asked, padding=True, padding_side="right", return_tensors="pt").to(device)
        embedded = self.network.language_model.embed_tokens(tokens.input_ids)
        found = self.network.get_image_features(seen.pixel_values.to(device), seen.image_grid_thw.to(device))
        image = self.tokenizer.convert_tokens_to_ids(_IMAGE)
        place = (tokens.input_ids == image)[..., None].expand_as(embedded)
        embedded = embedded.masked_scatter(place, torch.cat(list(found.pooler_output)).to(embedded))
        hidden = self.network.language_model(
            inputs_embeds=embedded, attention_mask=tokens.attention_mask, use_cache=False
        ).last_hidden_state
        at = (tokens.input_ids == self.tokenizer.convert_tokens_to_ids(_REWARD)).int()
        last = at.shape[1] - 1 - at.flip(1).argmax(dim=1)  # a prompt may hold one, too
        return self.head(hidden[torch.arange(len(last)), last].float())


@read_once
def load_hpsv3(file: Path, base: Path, dtype: str, device: str) -> PreferenceModel:
    """Read the weights that HPSv3's authors published.

    Raises:
        InputError: The file or the base cannot be read, or weights are missing.
    """
    from transformers import AutoTokenizer, Qwen2VLConfig, Qwen2VLImageProcessorPil, Qwen2VLModel

    tensors = read_tensors("model", file)
    with reading("base", base):
        check_type(base, "qwen2_vl")
        config = Qwen2VLConfig.from_pretrained(base, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
        tokenizer.add_special_tokens({"additional_special_tokens": [_REWARD]})
        size = {"shortest_edge": _PIXELS, "longest_edge": _PIXELS}
        processor = Qwen2VLImageProcessorPil.from_pretrained(base, local_files_only=True, size=size)
    with reading("model", file):
        head = LinearHead.of(tensors, "rm_head.", device, outputs=2, relu=True)
        renamed = current_names(tensors)
        text: Any = config.text_config
        text.vocab_size = renamed["language_model.embed_tokens.weight"].shape[0]
        network = load_whole(Qwen2VLModel, None, config=config, state_dict=renamed, dtype=dtype)
    return PreferenceModel(network.to(device), head, tokenizer, processor)


def current_names(tensors: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """Rename the published weights to those of transformers' Qwen2VLModel, without head and output layer."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.startswith(("rm_head.", "lm_head.")):
            continue
        pattern = next((pattern for pattern in _MODULES if re.match(pattern, name)), "")
        renamed[re.sub(pattern, _MODULES[pattern], name) if pattern else name] = tensor
    return renamed


def instruction_file(place: str | None) -> Path:
    """Find the file with the instruction: a local one, or that of the installed package hpsv3.

    Raises:
        InputError: There is none.
    """
    if place is not None:
        path = Path(place).expanduser().absolute()
        if not path.is_file():
            raise InputError(f"instruction of hpsv3 must be a file; got {place!r}, which is not here.")
        return path
    package = importlib.util.find_spec("hpsv3")  # which imports nothing
    folders = [] if package is None else package.submodule_search_locations or []
    files = [path for folder in folders if (path := Path(folder) / "dataset" / "data_collator_qwen.py").is_file()]
    if not files:
        raise InputError(
            "instruction of hpsv3 must be the one that it was trained with, from the authors' package; got none, since "
            "that is not installed. Get it: pip install --no-deps hpsv3"
        )
    return files[0]


def read_instruction(file: Path) -> str:
    """Read the instruction from a text file, or from the constants of the authors' module.

    Raises:
        InputError: It has no place for the prompt or no place for the score.
    """
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        try:
            text = "".join(_constants(text)[name] for name in ("INSTRUCTION", "prompt_with_special_token"))
        except (SyntaxError, KeyError) as error:
            raise InputError(
                f"instruction of hpsv3 must be in the module {file.name}; {error} is not there."
            ) from error
    if "{text_prompt}" not in text or text.count(_REWARD) != 1:
        raise InputError(f"instruction of hpsv3 must have {{text_prompt}} and one {_REWARD}; got {str(file)!r}.")
    return text


def _constants(source: str) -> dict[str, str]:
    """Return the texts that a module assigns to names, without running it."""
    return {
        target.id: node.value.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
