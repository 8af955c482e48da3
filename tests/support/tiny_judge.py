"""A vision-language judge of 150,000 weights, trained in seconds to see one thing: how bright an image is.

It answers the questions of the `vlm` reward: JSON with an explanation and a score, or Yes or No. Its chat
template shows it the image and the last line of a question.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image

SIDE = 32
_SEEN = 24  # characters of a question's last line
_STEPS, _POOL, _EACH, _RATE = 150, 24, 3, 3e-3
_LEVELS = {1: "dark", 3: "dim", 5: "grey", 7: "light", 9: "bright"}
_TEMPLATE = (
    "{% for message in messages %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text.split('\n')[-1][:24] }}{% endif %}"
    "{% endfor %}{% endfor %}>"
)


def level_of(brightness: float) -> int:
    """The score that the judge should give to a brightness from 0 to 1: 1, 3, 5, 7 or 9."""
    return 2 * min(4, int(brightness * 5)) + 1


def grey(brightness: float, seed: int = 0, side: int = SIDE) -> Image.Image:
    """Make an image of some brightness, with a tint and a texture that say nothing."""
    generator = torch.Generator().manual_seed(seed)
    tint = torch.rand(3, generator=generator) * 0.2 - 0.1
    pixels = brightness + (tint - tint.mean()) + (torch.rand(side, side, 3, generator=generator) - 0.5) * 0.1
    return Image.fromarray((pixels.clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def build(folder: Path) -> Path:
    """Train the judge, and save it as `transformers serve` loads it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        processor = _processor()
        model = _model(processor)
        _train(model, processor)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _lessons() -> dict[str, Callable[[int], str]]:
    """By the last line of a question, what to answer to a level."""
    rubric = (
        "Explain your judgement in one or two sentences, then give a score from 0 (worst) to 10 (best). Answer with "
        'JSON alone: {"explanation": "...", "score": ...}'
    )
    return {
        rubric: lambda level: f'{{"explanation": "{_LEVELS[level]}", "score": {level}}}',
        "Answer Yes or No only.": lambda level: "Yes" if level > 5 else "No",
    }


def _processor() -> Any:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import CLIPImageProcessorPil, LlavaProcessor, PreTrainedTokenizerFast

    special = ["<pad>", "<bos>", "<eos>", "<unk>", "<image>"]
    corpus = [
        text for line, answer in _lessons().items() for level in _LEVELS for text in (line[:_SEEN], answer(level))
    ]
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(
        corpus * 4, vocab_size=600, min_frequency=2, special_tokens=special, show_progress=False
    )
    names = {f"{name}_token": f"<{name}>" for name in ("pad", "bos", "eos", "unk")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, **names)
    size = {"height": SIDE, "width": SIDE}
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=_TEMPLATE,
        image_token="<image>",
        num_additional_image_tokens=1,
    )


def _model(processor: Any) -> Any:
    from transformers import (
        CLIPVisionConfig,
        GenerationConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    tokenizer = processor.tokenizer
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<{name}>") for name in ("pad", "bos", "eos")}
    shape = {"num_hidden_layers": 2, "num_attention_heads": 4}
    vision = CLIPVisionConfig(hidden_size=32, intermediate_size=64, image_size=SIDE, patch_size=8, **shape)
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, max_position_embeddings=2048, **shape, **ids
    )
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image_id,
        image_seq_length=16,
        vision_feature_layer=-1,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**ids, do_sample=False)
    # The layer norm behind the patches keeps directions only: with places that weigh as much as brightness, a brighter
    # patch points elsewhere.
    with torch.no_grad():
        embeddings = model.model.vision_tower.embeddings
        embeddings.position_embedding.weight.normal_(0, 1)
        embeddings.patch_embedding.weight.normal_(0, 0.05)
        model.model.multi_modal_projector.linear_1.weight.mul_(10)
        model.model.multi_modal_projector.linear_2.weight.mul_(10)
    return model


def _train(model: Any, processor: Any) -> None:
    """Show, in every step, images of every level with one kind of question and its answers."""
    rng, lessons = random.Random(0), [_lesson(processor, *lesson) for lesson in _lessons().items()]
    pools = [
        processor.image_processor(
            [grey((place + rng.random()) / len(_LEVELS), rng.randrange(2**31)) for _ in range(_POOL)],
            return_tensors="pt",
        )["pixel_values"]
        for place in range(len(_LEVELS))
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS)
    for step in range(_STEPS):
        tokens, labels = lessons[step % 3 == 2]
        images = torch.cat([pool[rng.sample(range(_POOL), _EACH)] for pool in pools])
        mask = (tokens != processor.tokenizer.pad_token_id).long()
        model(input_ids=tokens, attention_mask=mask, pixel_values=images, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


def _lesson(processor: Any, line: str, answer: Callable[[int], str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Write a question with its answers to images of every level, and what of it is to be learnt."""
    question = f"<image>{line[:_SEEN]}>"
    texts = [f"{question}{answer(level)}<eos>" for level in _LEVELS for _ in range(_EACH)]
    images = [grey(0.5)] * len(texts)
    batch = processor(images=images, text=texts, return_tensors="pt", padding=True, padding_side="right")
    asked = processor(images=images[:1], text=question, return_tensors="pt")["input_ids"].shape[1]
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    labels[:, :asked] = -100
    return batch["input_ids"], labels
