"""Tiny random networks of the classes that the larger learned rewards load, saved as the real ones are."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.support.tiny_models import SIDE, linear, randomise

_SPECIAL = ["<pad>", "<eos>", "<unk>"]
_QWEN = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]


def save_tokenizer(folder: Path, *special: str, ends: bool = False) -> Any:
    """Save a tokenizer of bytes, and of Yes and No; `ends` puts the end token behind every text, as T5's does."""
    from tokenizers import AddedToken, ByteLevelBPETokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(["Yes", "No"] * 4, vocab_size=300, min_frequency=2, show_progress=False)
    trained.add_special_tokens([AddedToken(word, special=True) for word in (*_SPECIAL, *special)])
    if ends:
        trained._tokenizer.post_processor = TemplateProcessing(
            single="$A <eos>", special_tokens=[("<eos>", trained.token_to_id("<eos>"))]
        )
    names = {f"{name}_token": f"<{name}>" for name in ("pad", "eos", "unk")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, **names)
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_siglip(folder: Path) -> Any:
    """Save a SiglipModel with its image processor."""
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {"image_size": SIDE, "patch_size": 8}
    config = SiglipConfig(text_config=shape | {"vocab_size": 50}, vision_config=shape | vision)
    with torch.random.fork_rng():
        model = SiglipModel(config).eval().requires_grad_(False)
    randomise(model.state_dict(), 3)
    model.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    SiglipImageProcessorPil(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3).save_pretrained(folder)
    return model


def save_clip_flant5(folder: Path, clip: Any) -> Any:
    """Save a T5, CLIP's image encoder and a projector in two pickles; the tokenizer in a folder below.

    Args:
        folder: Folder to make.
        clip: CLIPModel that sees.
    Returns:
        The T5.
    """
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = save_tokenizer(folder / "tokenizer", ends=True)
    width, rows = 24, len(tokenizer) + 5  # the output layer has rows that the tokenizer does not know
    shape = {
        "d_model": width,
        "d_kv": 8,
        "d_ff": 32,
        "num_layers": 2,
        "num_heads": 2,
        "feed_forward_proj": "gated-gelu",
    }
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = T5Config(
        vocab_size=rows, tie_word_embeddings=False, decoder_start_token_id=ids["pad_token_id"], **shape, **ids
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = T5ForConditionalGeneration(config).eval().requires_grad_(False)
    model.lm_head.weight.mul_(0.1)  # else all but one token have next to no probability
    projector = {
        f"mm_projector.{name}": torch.empty(size)
        for name, size in (linear("0", 32, width) | linear("2", width, width)).items()
    }
    eye = {
        f"vision_tower.vision_tower.{name}": tensor
        for name, tensor in clip.state_dict().items()
        if name.startswith("vision_model.")
    }
    text = {name: tensor for name, tensor in model.state_dict().items() if name != "encoder.embed_tokens.weight"}
    torch.save(text, folder / "pytorch_model-00001-of-00002.bin")
    torch.save(
        randomise(projector, 7) | eye | {"embed_tokens.weight": text["shared.weight"]},
        folder / "pytorch_model-00002-of-00002.bin",
    )
    settings = config.to_dict() | {"model_type": "clip_t5", "vocab_size": rows + 11, "mm_vision_select_layer": -2}
    (folder / "config.json").write_text(json.dumps(settings, default=str))
    return model


def save_qwen(folder: Path) -> Any:
    """Save what HPSv3 reads: weights under their old names with the head, and a folder without weights."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLImageProcessorPil

    tokenizer = save_tokenizer(folder / "base", *_QWEN)
    tokens = {
        name: tokenizer.convert_tokens_to_ids(f"<|{name}|>")
        for name in ("image_pad", "video_pad", "vision_start", "vision_end")
    }
    width = 32
    text: dict[str, Any] = {
        "hidden_size": width,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    text |= {"num_key_value_heads": 1, "vocab_size": len(tokenizer) + 1}  # one more for the score's token
    text["rope_parameters"] = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    vision = {"depth": 1, "embed_dim": 16, "hidden_size": width, "num_heads": 2, "mlp_ratio": 2}
    ids = {"image_token_id": tokens["image_pad"], "video_token_id": tokens["video_pad"]}
    ids |= {"vision_start_token_id": tokens["vision_start"], "vision_end_token_id": tokens["vision_end"]}
    config = Qwen2VLConfig(text_config=text, vision_config=vision, **ids)
    with torch.random.fork_rng():
        torch.manual_seed(6)
        model = Qwen2VLForConditionalGeneration(config).eval().requires_grad_(False)
    for tensor in model.state_dict().values():
        if tensor.ndim == 2:
            tensor.mul_(8)  # else all tokens have nearly one hidden state
    old = {
        name.replace("model.visual.", "visual.").replace("model.language_model.", "model."): tensor.clone()
        for name, tensor in model.state_dict().items()
    }
    head = linear("rm_head.0", width, 24) | linear("rm_head.3", 24, 16) | linear("rm_head.5", 16, 2)
    old |= randomise({name: torch.empty(size) for name, size in head.items()}, 8)
    save_file(old, folder / "HPSv3.safetensors")
    config.text_config.vocab_size += 100  # as the published configuration's, which has more rows than the weights
    config.save_pretrained(folder / "base")
    Qwen2VLImageProcessorPil().save_pretrained(folder / "base")
    (folder / "instruction.txt").write_text("Rate it.\n{text_prompt}\n\nThe rating of this image: <|Reward|>\n\nEND\n")
    return model


def save_llava(folder: Path) -> None:
    """Save a vision-language model with its processor and chat template; it was not trained."""
    from tests.support.tiny_judge import _model, _processor

    processor = _processor()
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = _model(processor)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
