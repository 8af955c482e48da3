"""Tiny random networks of the classes that the learned rewards load, saved as the real ones are: no downloads."""

from pathlib import Path
from typing import Any

import torch

SIDE = 32  # pixels of an image
CONTEXT = 77  # CLIP's tokens
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def save_clip(folder: Path, seed: int = 0, activation: str = "quick_gelu") -> Any:
    """Save a CLIPModel with tokenizer and image processor; words are letters, and the end token has the largest id."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

    words = ["<|startoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=CONTEXT)
    end, size = len(words) - 1, {"height": SIDE, "width": SIDE}
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "hidden_act": activation,
    }
    text = {"vocab_size": len(words), "bos_token_id": 0, "eos_token_id": end, "pad_token_id": end}
    vision = {"image_size": SIDE, "patch_size": 8}
    config = CLIPConfig(text_config=shape | text, vision_config=shape | vision, projection_dim=16)
    with torch.random.fork_rng():
        model = CLIPModel(config).eval().requires_grad_(False)
    randomise(model.state_dict(), seed)
    model.save_pretrained(folder)
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size)
    CLIPProcessor(processor, tokenizer).save_pretrained(folder)
    return model


def save_bert_tokenizer(folder: Path) -> None:
    """Save an uncased BertTokenizer whose words are letters."""
    from transformers import BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(folder)


def randomise(tensors: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """Fill tensors so that every one of them matters to the scores, and images differ."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in tensors.items():
        tensor.normal_(generator=generator).mul_(0.2)
        if tensor.ndim == 1 and name.endswith("weight"):  # of a layer norm
            tensor.add_(1)
        if name == "logit_scale":
            tensor.fill_(4.6052)
        if name.startswith("blip") and ("embed" in name or "cls_token" in name):
            tensor.mul_(0.01)  # so little that the layer norms' epsilons count
    return tensors


def open_clip_tensors(seed: int = 0, words: int = 2 + 2 * len(LETTERS)) -> dict[str, torch.Tensor]:
    """Make the state that open_clip would save of a CLIP with the shape of `save_clip`."""
    width, hidden, out = 32, 64, 16
    shapes: dict[str, tuple[int, ...]] = {
        "logit_scale": (),
        "positional_embedding": (CONTEXT, width),
        "text_projection": (width, out),
        "token_embedding.weight": (words, width),
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (1 + (SIDE // 8) ** 2, width),
        "visual.proj": (width, out),
        "visual.conv1.weight": (width, 3, 8, 8),
        **norm("ln_final", width),
        **norm("visual.ln_pre", width),
        **norm("visual.ln_post", width),
    }
    for tower in ("", "visual."):
        for block in (f"{tower}transformer.resblocks.{i}" for i in range(2)):
            shapes |= {f"{block}.attn.in_proj_weight": (3 * width, width), f"{block}.attn.in_proj_bias": (3 * width,)}
            shapes |= linear(f"{block}.attn.out_proj", width, width) | linear(f"{block}.mlp.c_fc", width, hidden)
            shapes |= linear(f"{block}.mlp.c_proj", hidden, width)
            shapes |= norm(f"{block}.ln_1", width) | norm(f"{block}.ln_2", width)
    return randomise({name: torch.empty(shape) for name, shape in shapes.items()}, seed)


def image_reward_tensors(seed: int = 0, words: int = 5 + 2 * len(LETTERS)) -> dict[str, torch.Tensor]:
    """Make the state that ImageReward's authors would save of a BLIP with heads of 64, and of the head after it."""
    vision, text, hidden, patch = 128, 64, 96, 8
    eye, reader = "blip.visual_encoder", "blip.text_encoder"
    shapes: dict[str, tuple[int, ...]] = {
        f"{eye}.cls_token": (1, 1, vision),
        f"{eye}.pos_embed": (1, 1 + (SIDE // patch) ** 2, vision),
        f"{eye}.patch_embed.proj.weight": (vision, 3, patch, patch),
        f"{eye}.patch_embed.proj.bias": (vision,),
        **norm(f"{eye}.norm", vision),
        f"{reader}.embeddings.word_embeddings.weight": (words, text),
        f"{reader}.embeddings.position_embeddings.weight": (40, text),
        **norm(f"{reader}.embeddings.LayerNorm", text),
    }
    for block in (f"{eye}.blocks.{i}" for i in range(2)):
        shapes |= linear(f"{block}.attn.qkv", vision, 3 * vision) | linear(f"{block}.attn.proj", vision, vision)
        shapes |= linear(f"{block}.mlp.fc1", vision, hidden) | linear(f"{block}.mlp.fc2", hidden, vision)
        shapes |= norm(f"{block}.norm1", vision) | norm(f"{block}.norm2", vision)
    for layer in (f"{reader}.encoder.layer.{i}" for i in range(2)):
        for attention, seen in (("attention", text), ("crossattention", vision)):
            for part, width in (("query", text), ("key", seen), ("value", seen)):
                shapes |= linear(f"{layer}.{attention}.self.{part}", width, text)
            shapes |= linear(f"{layer}.{attention}.output.dense", text, text)
            shapes |= norm(f"{layer}.{attention}.output.LayerNorm", text)
        shapes |= linear(f"{layer}.intermediate.dense", text, hidden) | linear(f"{layer}.output.dense", hidden, text)
        shapes |= norm(f"{layer}.output.LayerNorm", text)
    tensors = {name: torch.empty(shape) for name, shape in shapes.items()}
    tensors |= {f"mlp.{name}": tensor for name, tensor in head_tensors(text).items()}
    return randomise(tensors, seed) | {f"{reader}.embeddings.position_ids": torch.arange(40)[None]}


def head_tensors(width: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Make the state of a stack of linear layers, numbered with the gaps that dropout left."""
    shapes = linear("layers.0", width, 24) | linear("layers.2", 24, 12) | linear("layers.10", 12, 1)
    tensors = randomise({name: torch.empty(shape) for name, shape in shapes.items()}, seed)
    return dict(reversed(tensors.items()))  # the order in a file says nothing


def linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Name the shapes of a linear layer."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    """Name the shapes of a layer norm."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
