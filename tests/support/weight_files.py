"""Files of weights as people publish them, made from tiny pipelines: a single-file checkpoint, a LoRA and the like."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def configs_of(folder: Path, to: Path) -> Path:
    """Copy a pipeline's folder without its weights."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.safetensors"))
    return to


def single_file(pipeline: Any, path: Path) -> Path:
    """Write a Stable Diffusion pipeline as one file, with the names of weights that the original code has."""
    state = {f"model.diffusion_model.{name}": value for name, value in _unet(pipeline.unet).items()}
    state |= {f"first_stage_model.{name}": value for name, value in vae_weights(pipeline.vae).items()}
    text = pipeline.text_encoder.state_dict()
    state |= {f"cond_stage_model.transformer.text_model.{name}": value for name, value in text.items()}
    save_file({name: value.contiguous().clone() for name, value in state.items()}, path)
    return path


def lora_file(network: Any, path: Path, *, name: str = "unet", rank: int = 2, seed: int = 1) -> Path:
    """Write a LoRA for the queries and keys of a network's attention."""
    random = torch.Generator().manual_seed(seed)
    state = {}
    for place, module in network.named_modules():
        if place.endswith((".to_q", ".to_k")):
            into, out = module.in_features, module.out_features
            state[f"{name}.{place}.lora_A.weight"] = torch.randn(rank, into, generator=random)
            state[f"{name}.{place}.lora_B.weight"] = torch.randn(out, rank, generator=random)
    save_file(state, path)
    return path


def inversion_file(path: Path, token: str, size: int) -> Path:
    """Write a textual inversion of one vector, which names its token."""
    save_file({token: 3 * torch.randn(size, generator=torch.Generator().manual_seed(2))}, path)
    return path


def ip_adapter_file(unet: Any, path: Path, *, size: int = 16, tokens: int = 4) -> Path:
    """Write an IP-Adapter for a U-Net, with its encoder of images in the folder `image_encoder` beside it."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    random = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    width = unet.config.cross_attention_dim
    projection = {"proj.weight": draw(width * tokens, size), "proj.bias": draw(width * tokens)}
    projection |= {"norm.weight": torch.ones(width), "norm.bias": torch.zeros(width)}
    state = {f"image_proj.{name}": value for name, value in projection.items()}
    crossing = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    for number, name in enumerate(crossing):
        hidden = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
        for key in ("to_k_ip", "to_v_ip"):
            state[f"ip_adapter.{2 * number + 1}.{key}.weight"] = draw(hidden, width)
    save_file(state, path)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        config = CLIPVisionConfig(
            hidden_size=size,
            intermediate_size=size,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=16,
            patch_size=8,
            projection_dim=size,
        )
        CLIPVisionModelWithProjection(config).save_pretrained(path.parent / "image_encoder")
    return path


def vae_weights(vae: Any) -> dict[str, Tensor]:
    """Return the weights of an autoencoder by the names that the original code has, without a prefix."""
    blocks = len(vae.config.block_out_channels)
    named = {}
    for name, value in vae.state_dict().items():
        if "attentions" in name and value.ndim == 2:
            value = value[..., None, None]  # the original code has convolutions of one pixel
        for old, new in _vae_names(blocks):
            name = name.replace(old, new)
        named[name] = value
    return named


def _vae_names(blocks: int) -> list[tuple[str, str]]:
    names = [("mid_block.resnets.0", "mid.block_1"), ("mid_block.resnets.1", "mid.block_2")]
    names += [
        ("mid_block.attentions.0", "mid.attn_1"),
        ("conv_norm_out", "norm_out"),
        ("conv_shortcut", "nin_shortcut"),
    ]
    for place in range(blocks):
        names.append((f"down_blocks.{place}.downsamplers.0", f"down.{place}.downsample"))
        names.append((f"up_blocks.{place}.upsamplers.0", f"up.{blocks - 1 - place}.upsample"))
        names.append((f"down_blocks.{place}.resnets", f"down.{place}.block"))
        names.append((f"up_blocks.{place}.resnets", f"up.{blocks - 1 - place}.block"))
    names += [("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")]
    return names


def _unet(unet: Any) -> dict[str, Tensor]:
    layers, named = unet.config.layers_per_block, {}
    for name, value in unet.state_dict().items():
        old = next(old for old in _unet_places(len(unet.config.block_out_channels), layers) if name.startswith(old))
        new = _unet_places(len(unet.config.block_out_channels), layers)[old]
        rest = name.removeprefix(old)
        if "resnets" in old:
            first, _, last = rest.partition(".")
            rest = f"{_RESNET[first]}.{last}"
        named[new + rest] = value
    return named


def _unet_places(blocks: int, layers: int) -> dict[str, str]:
    places = {
        "time_embedding.linear_1.": "time_embed.0.",
        "time_embedding.linear_2.": "time_embed.2.",
        "conv_in.": "input_blocks.0.0.",
        "conv_norm_out.": "out.0.",
        "conv_out.": "out.2.",
        "mid_block.resnets.0.": "middle_block.0.",
        "mid_block.attentions.0.": "middle_block.1.",
        "mid_block.resnets.1.": "middle_block.2.",
    }
    for block in range(blocks):
        for layer in range(layers):
            place = block * (layers + 1) + layer + 1
            places[f"down_blocks.{block}.resnets.{layer}."] = f"input_blocks.{place}.0."
            places[f"down_blocks.{block}.attentions.{layer}."] = f"input_blocks.{place}.1."
        places[f"down_blocks.{block}.downsamplers.0.conv."] = f"input_blocks.{(block + 1) * (layers + 1)}.0.op."
        for layer in range(layers + 1):
            place = block * (layers + 1) + layer
            places[f"up_blocks.{block}.resnets.{layer}."] = f"output_blocks.{place}.0."
            places[f"up_blocks.{block}.attentions.{layer}."] = f"output_blocks.{place}.1."
        upsampler = 2 if block == 0 else 1  # the first block of the tiny one has attention before it
        places[f"up_blocks.{block}.upsamplers.0.conv."] = (
            f"output_blocks.{block * (layers + 1) + layers}.{upsampler}.conv."
        )
    return places
