"""Images a second of pipelines as large as SD 1.5 and SDXL, with random weights: diffusers against zo-dno.

zo-dno is timed twice, the generator alone and a whole search with the default strategy.

Nothing is downloaded: the networks are built from the public configs, and random weights take as long as trained ones.
Without a GPU it says so and measures its small form, whose figures tell nothing of a GPU's.
"""

import argparse
import string
import time
from collections.abc import Callable
from itertools import product
from statistics import median
from typing import Any

import torch
from PIL import Image
from torch import Tensor

import zo_dno
from benchmarks.tables import show
from zo_dno.generators.batch_size import best_batch_size
from zo_dno.generators.memory import is_out_of_memory
from zo_dno.generators.quiet import quiet_libraries
from zo_dno.rng import stream
from zo_dno.search.white_box import Opened
from zo_dno.strategies.hybrid import Hybrid2
from zo_dno.strategies.snes import SNES
from zo_dno.strategy import Problem

PROMPT = "a lighthouse at dusk"
WORDS = ["<|startoftext|>", "<|endoftext|>", *string.ascii_lowercase, *(f"{c}</w>" for c in string.ascii_lowercase)]
CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
SMALL = {"block_out_channels": (32, 64), "layers_per_block": 1, "norm_num_groups": 8}


def sd15(*, small: bool) -> Any:
    """Build a pipeline of SD 1.5's networks (or of small ones of the same kind)."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    text = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    width = (text if small else CLIP_L)["hidden_size"]
    unet = UNet2DConditionModel(
        sample_size=8 if small else 64,
        cross_attention_dim=width,
        attention_head_dim=8,
        **(
            SMALL
            | {
                "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
                "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            }
            if small
            else {}
        ),
    )
    vae = AutoencoderKL(
        **(
            {
                "block_out_channels": (16, 32),
                "norm_num_groups": 8,
                "down_block_types": ("DownEncoderBlock2D",) * 2,
                "up_block_types": ("UpDecoderBlock2D",) * 2,
                "latent_channels": 4,
            }
            if small
            else VAE
        ),
        scaling_factor=0.18215,
    )
    return StableDiffusionPipeline(
        unet=unet,
        vae=vae,
        text_encoder=CLIPTextModel(CLIPTextConfig(vocab_size=len(WORDS), **(text if small else CLIP_L), **_TOKENS)),
        tokenizer=_tokenizer(),
        scheduler=DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl() -> Any:
    """Build a pipeline of SDXL's networks."""
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    unet = UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )
    second = CLIPTextConfig(vocab_size=len(WORDS), projection_dim=1280, **CLIP_G, **_TOKENS)
    return StableDiffusionXLPipeline(
        unet=unet,
        vae=AutoencoderKL(**VAE, scaling_factor=0.13025),
        text_encoder=CLIPTextModel(CLIPTextConfig(vocab_size=len(WORDS), **CLIP_L, **_TOKENS)),
        text_encoder_2=CLIPTextModelWithProjection(second),
        tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer(),
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear"),
        add_watermarker=False,
    )


_TOKENS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}


def _tokenizer() -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer(vocab={word: i for i, word in enumerate(WORDS)}, merges=[], model_max_length=77)


def rate(draw: Callable[[], int], repetitions: int) -> float:
    """Return images a second: the median of some repetitions, after one that does not count."""
    draw()
    rates = []
    for _ in range(repetitions):
        _wait()
        started = time.perf_counter()
        n = draw()
        _wait()
        rates.append(n / (time.perf_counter() - started))
    return median(rates)


def bare(pipeline: Any, images: int, batch: int, steps: int) -> int:
    """Draw with diffusers alone, as bytes on the CPU."""
    for _ in range(images // batch):
        made: Tensor = pipeline(
            PROMPT, num_images_per_prompt=batch, num_inference_steps=steps, output_type="pt", return_dict=False
        )[0]
        (made * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()
    return images


def searched(generator: zo_dno.DiffusersGenerator, images: int) -> int:
    """Search with the default strategy and a reward that takes next to no time."""
    result = zo_dno.optimize(generator, "brightness", queries=images)
    return result.queries


def one_at_a_time(pipeline: Any, images: int, steps: int) -> int:
    """Draw as most published search scripts do: a call for every image, and a PIL image out of it."""
    for _ in range(images):
        made: list[Image.Image] = pipeline(PROMPT, num_inference_steps=steps).images
        assert len(made) == 1
    return images


def white_box_step(generator: zo_dno.DiffusersGenerator, population: int) -> tuple[float, float]:
    """Return seconds and gigabytes at most of what one step of Hybrid2 does after its scores are there."""
    space = generator.layout
    strategy = Hybrid2(Problem(space.d, 100, 0, space.sizes), population=population, retraction=False)
    strategy.use_model(Opened(generator, _reward(), _objective(space)))
    taken = []
    for _ in range(2):
        candidates = strategy.ask()
        scores = torch.randn(population, generator=stream(0, "scores"))
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        _wait()
        started = time.perf_counter()
        strategy.tell(candidates, scores)
        _wait()
        taken.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else float("nan")
    return taken[-1], peak


def _reward() -> Any:
    """Make a reward that is not asked."""
    from zo_dno.rewards.brightness import Brightness

    return Brightness()


def _objective(space: Any) -> Any:
    from zo_dno.search.objective import Objective

    return Objective(space, permutations=0, min_log_prob=None)


def strategy_seconds(space: Any, populations: int = 10) -> float:
    """Return seconds of ask and tell a population of 16."""
    strategy = SNES(Problem(space.d, 1000, 0, space.sizes), population=16)
    started = time.perf_counter()
    for _ in range(populations):
        candidates = strategy.ask()
        strategy.tell(candidates, torch.randn(16, generator=stream(0, "scores")))
    return (time.perf_counter() - started) / populations


def measure(name: str, pipeline: Any, options: argparse.Namespace, dtype: torch.dtype, *, compiled: bool) -> list[Any]:
    """Measure one pipeline in one precision."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipeline.to(device, dtype)
    pipeline.set_progress_bar_config(disable=True)
    if compiled:
        pipeline.unet.compile()
    batch = options.batch or best_batch_size(
        lambda n: pipeline(PROMPT, num_images_per_prompt=n, num_inference_steps=1, output_type="pt")[0]
    )
    images = batch * max(1, -(-options.images // batch))
    label = f"{name}, {str(dtype).removeprefix('torch.')}{', compiled' if compiled else ''}"
    generator = zo_dno.DiffusersGenerator(pipeline, PROMPT, steps=options.steps, batch_size=batch)
    z = torch.randn(images, generator.layout.d, generator=stream(0, "gpu benchmark"))
    rates = []
    for what, draw in (
        ("bare", lambda: bare(pipeline, images, batch, options.steps)),
        ("zo-dno", lambda: len(generator(z))),
        ("a search", lambda: searched(generator, images)),
        ("one by one", lambda: one_at_a_time(pipeline, min(4, images), options.steps)),
    ):
        rates.append(rate(draw, options.repetitions))
        print(f"{label}, {batch} a batch: {what} {rates[-1]:.2f} images/s", flush=True)  # each of them takes a while
    try:
        seconds, peak = white_box_step(generator, 8)
    except (zo_dno.InputError, RuntimeError) as error:
        if not is_out_of_memory(error.__cause__ or error):
            raise
        seconds, peak = float("nan"), float("nan")
    found = [
        *rates,
        rates[1] / rates[0],
        rates[2] / rates[0],
        rates[1] / rates[3],
        seconds,
        peak,
        strategy_seconds(generator.layout),
    ]
    return [label, batch, *found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--images", type=int, default=64, help="a repetition, rounded up to whole batches")
    parser.add_argument("--batch", type=int, help="by default the best that is found")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=["sd15", "sdxl"], choices=["sd15", "sdxl"])
    parser.add_argument("--dtypes", nargs="+", default=["float16", "bfloat16"], choices=["float16", "bfloat16"])
    parser.add_argument("--compile", action="store_true", help="measure every one compiled as well")
    options = parser.parse_args()
    rows = []
    with quiet_libraries():
        if torch.cuda.is_available():
            hardware = torch.cuda.get_device_name()
            for model in options.models:
                build = {"sd15": lambda: sd15(small=False), "sdxl": sdxl}[model]
                for dtype, compiled in product(options.dtypes, (False, True) if options.compile else (False,)):
                    rows.append(measure(model, build(), options, getattr(torch, dtype), compiled=compiled))
                    print(rows[-1], flush=True)
                    torch.cuda.empty_cache()
        else:
            torch.set_num_threads(1)
            hardware = "no GPU here: small networks on a CPU, 1 thread"
            rows.append(measure("like SD 1.5, small", sd15(small=True), options, torch.float32, compiled=False))
    columns = ["", "batch", "bare/s", "zo-dno/s", "search/s", "one by one/s"]
    columns += ["of bare", "search of bare", "x one by one"]
    columns += ["Hybrid2 step s", "peak GB", "ask+tell s"]
    show(f"{hardware}, {options.steps} steps", columns, rows, {"hardware": hardware, "rows": rows})


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
