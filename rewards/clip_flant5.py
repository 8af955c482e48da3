"""CLIP-FlanT5: a T5 that reads what CLIP sees of an image in the middle of its question (Lin et al. 2024)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.storage.read_weights import check_type, load_whole, read_once, read_tensors, reading
from zo_dno.storage.weights import folder_files

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

_LONGEST = 2048  # tokens of a question, in the authors' constants.py, as the sentences below
_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions."
)
_BEFORE, _AFTER = f"{_SYSTEM} USER: ", "\n{question} ASSISTANT: "  # the image is between them
_VISION = "vision_tower.vision_tower."
_PROJECTOR = "mm_projector."


@dataclass(frozen=True, slots=True, eq=False)
class ClipFlanT5:
    """The networks of CLIP-FlanT5.

    Attributes:
        vision: CLIP's image encoder.
        layer: Index of the vision encoder's hidden states that are read, without those of the class token.
        projector: Weight and bias of the linear layers from CLIP's width to T5's, with a GELU between two of them.
        language: T5 with its output layer.
        tokenizer: T5's tokenizer.
        processor: CLIP's image processor.
    """

    vision: Any
    layer: int
    projector: "tuple[tuple[Tensor, Tensor], ...]"
    language: Any
    tokenizer: Any
    processor: Any

    def probabilities(self, images: "list[Image.Image]", questions: list[str], answer: str) -> "Tensor":
        """Return the geometric mean of the probabilities of an answer's tokens, its end token included: (n,)."""
        import torch

        seen = self._seen(images)
        rows = [self._row(question, one) for question, one in zip(questions, seen, strict=True)]
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row)) for row in rows], batch_first=True)
        labels = torch.tensor(self.tokenizer(answer).input_ids).to(seen.device).repeat(len(images), 1)
        logits = self.language(
            inputs_embeds=torch.nn.utils.rnn.pad_sequence(rows, batch_first=True),
            attention_mask=mask.to(seen.device),
            labels=labels,
        ).logits
        known: Tensor = logits[
            ..., : len(self.tokenizer)
        ].float()  # the authors cut the output layer to the tokenizer's size
        return known.log_softmax(dim=-1).gather(2, labels[..., None])[..., 0].mean(dim=1).exp()

    def _seen(self, images: "list[Image.Image]") -> "Tensor":
        """Encode RGB images, padded to squares with the mean colour: (n, patches, width of T5)."""
        from PIL import Image
        from torch.nn.functional import gelu, linear

        mean = tuple(int(255 * part) for part in self.processor.image_mean)
        squares = []
        for image in images:
            side = max(image.size)
            square = Image.new("RGB", (side, side), mean)
            square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
            squares.append(square)
        pixels = self.processor(images=squares, return_tensors="pt").pixel_values
        encoded = self.vision(pixels.to(self.vision.device, self.vision.dtype), output_hidden_states=True)
        hidden: Tensor = encoded.hidden_states[self.layer][:, 1:]
        for number, (weight, bias) in enumerate(self.projector):
            hidden = linear(gelu(hidden) if number else hidden, weight, bias)
        return hidden

    def _row(self, question: str, seen: "Tensor") -> "Tensor":
        """Embed one question around its image: (tokens and patches, width). Both halves end with an end token."""
        import torch

        halves = [self.tokenizer(text).input_ids for text in (_BEFORE, _AFTER.format(question=question))]
        rest = _LONGEST - len(halves[0]) - 1  # the image counts as one
        embed = self.language.get_input_embeddings()
        before, after = (embed(torch.tensor(half, device=seen.device)) for half in (halves[0], halves[1][:rest]))
        return torch.cat([before, seen.to(before.dtype), after])


@read_once
def load_clip_flant5(folder: Path, tokenizer: Path, vision: Path, dtype: str, device: str) -> ClipFlanT5:
    """Read the authors' weights.

    Args:
        folder: Folder with config.json and the weights of all three networks.
        tokenizer: Folder with T5's tokenizer.
        vision: Folder with the configuration and the image processor of CLIP, without weights.
        dtype: Precision of the networks.
        device: Device to compute on.
    Raises:
        InputError: A folder cannot be read, or weights are missing.
    """
    import torch
    from transformers import (
        AutoTokenizer,
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        CLIPVisionModel,
        T5Config,
        T5ForConditionalGeneration,
    )

    tensors = {name: tensor for file in folder_files(folder) for name, tensor in read_tensors("model", file).items()}
    with reading("model", folder):
        check_type(folder, "clip_t5")
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        text = {name: tensor for name, tensor in tensors.items() if not name.startswith((_VISION, _PROJECTOR))}
        config = T5Config.from_dict({**settings, "vocab_size": text["shared.weight"].shape[0]})
        language = load_whole(T5ForConditionalGeneration, None, config=config, state_dict=text, dtype=dtype)
        precise = getattr(torch, dtype)
        numbers = sorted({int(name.split(".")[1]) for name in tensors if name.startswith(_PROJECTOR)})
        layers = [tuple(tensors[f"{_PROJECTOR}{i}.{part}"] for part in ("weight", "bias")) for i in numbers]
        projector = tuple((weight.to(device, precise), bias.to(device, precise)) for weight, bias in layers)
        eye = {name.removeprefix(_VISION): tensor for name, tensor in tensors.items() if name.startswith(_VISION)}
    with reading("vision", vision):
        shape = CLIPVisionConfig.from_pretrained(vision, local_files_only=True)
        network = load_whole(CLIPVisionModel, None, config=shape, state_dict=eye, dtype=dtype)
        processor = CLIPImageProcessorPil.from_pretrained(vision, local_files_only=True)
    with reading("tokenizer", tokenizer):
        words = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
    layer = settings.get("mm_vision_select_layer", -2)
    return ClipFlanT5(network.to(device), layer, projector, language.to(device), words, processor)
