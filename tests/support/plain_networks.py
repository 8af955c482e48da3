"""What the learned rewards compute, written out from the published architectures, to compare them with."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F  # noqa: N812

from tests.support.tiny_models import CONTEXT, LETTERS, SIDE

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's, of each colour


def padded_to_square(image: Image.Image) -> Image.Image:
    return ImageOps.pad(image, (SIDE, SIDE), Image.Resampling.BICUBIC, color="black")


def pixels(images: list[Image.Image]) -> torch.Tensor:
    """Scale the short side to 32, cut out the middle, and normalise: (n, 3, 32, 32)."""
    arrays = []
    for image in images:
        short = min(image.size)
        width, height = (SIDE if side == short else int(SIDE * side / short) for side in image.size)
        scaled = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - SIDE) // 2, (height - SIDE) // 2
        cut = np.asarray(scaled.crop((left, top, left + SIDE, top + SIDE)), dtype=np.float64) / 255
        arrays.append(((cut - MEAN) / DEVIATION).transpose(2, 0, 1))
    return torch.tensor(np.stack(arrays), dtype=torch.float32)


def clip_tokens(prompt: str) -> list[int]:
    """Spell: the tiny vocabulary has letters, and letters that end a word."""
    words = [[LETTERS.index(c) + 1 for c in word[:-1]] + [LETTERS.index(word[-1]) + 27] for word in prompt.split()]
    tokens = [0, *(token for word in words for token in word)][: CONTEXT - 1]
    return tokens + [53] * (CONTEXT - len(tokens))


def clip_images(folder: Path, images: list[Image.Image]) -> torch.Tensor:
    model = tiny_clip(folder)
    return model.visual_projection(model.vision_model(pixel_values=pixels(images)).pooler_output)


def clip_cosines(folder: Path, images: list[Image.Image], prompts: list[str]) -> list[float]:
    model, tokens = tiny_clip(folder), torch.tensor([clip_tokens(prompt) for prompt in prompts])
    states = model.text_model(input_ids=tokens).last_hidden_state
    ends = states[torch.arange(len(prompts)), (tokens == 53).int().argmax(dim=1)]
    return F.cosine_similarity(clip_images(folder, images), model.text_projection(ends)).tolist()


def tiny_clip(folder: Path):
    from transformers import CLIPModel

    return CLIPModel.from_pretrained(folder).eval().requires_grad_(False)


def open_clip_cosines(state: dict[str, torch.Tensor], images: list[Image.Image], prompts: list[str]) -> list[float]:
    """Compute what the published architecture does, from the names in its own checkpoint."""
    x = F.conv2d(pixels(images), state["visual.conv1.weight"], stride=8).flatten(2).transpose(1, 2)
    first = state["visual.class_embedding"].expand(len(images), 1, -1)
    x = torch.cat([first, x], dim=1) + state["visual.positional_embedding"]
    x = open_clip_blocks(state, "visual.", layer_norm(state, "visual.ln_pre", x), causal=False)
    seen = layer_norm(state, "visual.ln_post", x[:, 0]) @ state["visual.proj"]

    ids = torch.tensor([clip_tokens(prompt) for prompt in prompts])
    y = open_clip_blocks(state, "", state["token_embedding.weight"][ids] + state["positional_embedding"], causal=True)
    y = layer_norm(state, "ln_final", y)[torch.arange(len(ids)), ids.argmax(dim=1)] @ state["text_projection"]
    return F.cosine_similarity(seen, y).tolist()


def open_clip_blocks(state: dict[str, torch.Tensor], tower: str, x: torch.Tensor, causal: bool) -> torch.Tensor:
    for block in (f"{tower}transformer.resblocks.{i}" for i in range(2)):
        y = layer_norm(state, f"{block}.ln_1", x)
        stacked = F.linear(y, state[f"{block}.attn.in_proj_weight"], state[f"{block}.attn.in_proj_bias"])
        x = x + linear_layer(state, f"{block}.attn.out_proj", attend_to_itself(stacked, causal))
        y = F.gelu(linear_layer(state, f"{block}.mlp.c_fc", layer_norm(state, f"{block}.ln_2", x)))
        x = x + linear_layer(state, f"{block}.mlp.c_proj", y)
    return x


def blip_score(state: dict[str, torch.Tensor], image: Image.Image, prompt: str) -> float:
    """Compute what the published architecture does for one image and prompt, without padding."""
    eye, reader = "blip.visual_encoder", "blip.text_encoder"
    x = (
        F.conv2d(pixels([image]), *weight_and_bias(state, f"{eye}.patch_embed.proj"), stride=8)
        .flatten(2)
        .transpose(1, 2)
    )
    x = torch.cat([state[f"{eye}.cls_token"], x], dim=1) + state[f"{eye}.pos_embed"]
    for block in (f"{eye}.blocks.{i}" for i in range(2)):
        stacked = linear_layer(state, f"{block}.attn.qkv", layer_norm(state, f"{block}.norm1", x, 1e-6))
        x = x + linear_layer(state, f"{block}.attn.proj", attend_to_itself(stacked))
        y = F.gelu(linear_layer(state, f"{block}.mlp.fc1", layer_norm(state, f"{block}.norm2", x, 1e-6)))
        x = x + linear_layer(state, f"{block}.mlp.fc2", y)
    x = layer_norm(state, f"{eye}.norm", x, 1e-6)

    spelt = [LETTERS.index(c) + (5 if i == 0 else 31) for word in prompt.split() for i, c in enumerate(word)]
    ids = torch.tensor([[2, *spelt, 3]])
    y = state[f"{reader}.embeddings.word_embeddings.weight"][ids]
    y = y + state[f"{reader}.embeddings.position_embeddings.weight"][: ids.shape[1]]
    y = layer_norm(state, f"{reader}.embeddings.LayerNorm", y, 1e-12)
    for layer in (f"{reader}.encoder.layer.{i}" for i in range(2)):
        for attention, seen in (("attention", None), ("crossattention", x)):
            query = linear_layer(state, f"{layer}.{attention}.self.query", y)
            other = y if seen is None else seen
            key, value = (linear_layer(state, f"{layer}.{attention}.self.{part}", other) for part in ("key", "value"))
            found = linear_layer(state, f"{layer}.{attention}.output.dense", attend(query, key, value))
            y = layer_norm(state, f"{layer}.{attention}.output.LayerNorm", y + found, 1e-12)
        found = F.gelu(linear_layer(state, f"{layer}.intermediate.dense", y))
        found = linear_layer(state, f"{layer}.output.dense", found)
        y = layer_norm(state, f"{layer}.output.LayerNorm", y + found, 1e-12)

    score = y[:, 0]
    for number in (0, 2, 10):
        score = linear_layer(state, f"mlp.layers.{number}", score)
    return float(score)


def attend_to_itself(stacked: torch.Tensor, causal: bool = False) -> torch.Tensor:
    """Attend with two heads, of query, key and value side by side."""
    query, key, value = (x.unflatten(-1, (2, -1)).transpose(1, 2) for x in stacked.chunk(3, dim=-1))
    return F.scaled_dot_product_attention(query, key, value, is_causal=causal).transpose(1, 2).flatten(2)


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attend with one head."""
    return (query @ key.mT / query.shape[-1] ** 0.5).softmax(dim=-1) @ value


def linear_layer(state: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    return F.linear(x, *weight_and_bias(state, name))


def layer_norm(state: dict[str, torch.Tensor], name: str, x: torch.Tensor, epsilon: float = 1e-5) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], *weight_and_bias(state, name), epsilon)


def weight_and_bias(state: dict[str, torch.Tensor], name: str) -> tuple[torch.Tensor, torch.Tensor]:
    return state[f"{name}.weight"], state[f"{name}.bias"]
