"""All families, and which combinations with schedulers are checked."""

from functools import partial

from tests.support.zoo import families, more_families
from tests.support.zoo.families import FLOW, MASK, NOISE_PREDICTING, PICTURE, Family
from tests.support.zoo.parts import unet

_SD, _SDXL = families.stable_diffusion, families.sdxl
_SMALL = {"height": 8, "width": 8}
_LANGUAGE = {**_SMALL, "max_sequence_length": 16}
_LAYERS = {**_LANGUAGE, "text_encoder_out_layers": (1, 2)}
_BINNED = {"max_sequence_length": 16, "use_resolution_binning": False}
_SANA = {"height": 32, "width": 32, **_BINNED}
_INPAINT = {"image": PICTURE, "mask_image": MASK, **_SMALL}

FAMILIES: dict[str, Family] = {
    "SD 1.5": Family(_SD, ("DDIM", "DDIM eta=0.5", *NOISE_PREDICTING[1:])),
    "SD 2.x, v-prediction": Family(_SD, NOISE_PREDICTING, prediction="v_prediction"),
    "SDXL": Family(_SDXL, ("Euler", *(name for name in NOISE_PREDICTING if name != "Euler"))),
    "SDXL-Turbo": Family(_SDXL, ("Euler ancestral",), {"guidance_scale": 0.0}, steps=1),
    "LCM": Family(families.lcm, ("LCM",)),
    "SD3": Family(families.sd3, FLOW, _LANGUAGE),
    "FLUX.1": Family(families.flux, FLOW, _LANGUAGE),
    "FLUX.2": Family(families.flux2, FLOW, _LAYERS),
    "FLUX.2 klein": Family(partial(families.flux2, klein=True), FLOW, _LAYERS),
    "PixArt-Sigma": Family(
        families.pixart,
        ("DPM++", *(n for n in NOISE_PREDICTING if n not in ("DPM++", "LCM", "TCD"))),
        {**_SMALL, **_BINNED},
    ),
    "SANA": Family(families.sana, ("DPM++ flow", *FLOW), {**_SANA, "complex_human_instruction": ["draw"]}),
    "SANA-Sprint": Family(
        partial(families.sana, sprint=True),
        ("SCM",),
        {**_SANA, "complex_human_instruction": ["draw"], "intermediate_timesteps": 1.3},
        steps=2,
    ),
    "Z-Image": Family(families.z_image, FLOW, _LANGUAGE),
    "Hunyuan-DiT": Family(
        families.hunyuan,
        ("DDPM", *(n for n in NOISE_PREDICTING if n not in ("DDPM", "LCM", "TCD"))),
        {"height": 16, "width": 16, "use_resolution_binning": False},
        prediction="v_prediction",
    ),
    "Kandinsky 2.2, prior and decoder": Family(
        more_families.kandinsky, ("DDPM", "DDIM"), {**_SMALL, "prior_num_inference_steps": 3}
    ),
    "Kandinsky 3": Family(more_families.kandinsky3, ("DDPM",), _SMALL),
    "unconditional DDPM": Family(partial(more_families.unconditional, kind="DDPMPipeline"), ("DDPM",), prompt=""),
    "unconditional DDIM": Family(
        partial(more_families.unconditional, kind="DDIMPipeline"), ("DDIM", "DDIM eta=1"), prompt=""
    ),
    "SD image-to-image": Family(
        partial(_SD, kind="StableDiffusionImg2ImgPipeline"), NOISE_PREDICTING, {"image": PICTURE, "strength": 1.0}
    ),
    "SD inpainting": Family(partial(_SD, kind="StableDiffusionInpaintPipeline"), NOISE_PREDICTING, _INPAINT),
    "SD inpainting, 9 channels": Family(
        lambda scheduler: _SD(scheduler, "StableDiffusionInpaintPipeline", unet(in_channels=9)), ("DDIM",), _INPAINT
    ),
    "SD with ControlNet": Family(families.controlnet, NOISE_PREDICTING, {"image": PICTURE}),
    "AnimateDiff (video)": Family(
        more_families.animatediff,
        ("DDIM", "DDIM eta=1", "Euler", "Euler ancestral", "DPM++"),
        {**_SMALL, "num_frames": 2},
        prompt_list=True,
    ),
}

CASES = [(family, scheduler) for family, found in FAMILIES.items() for scheduler in found.schedulers]
CORE = [
    *(
        ("SD 1.5", name)
        for name in ("DDIM", "DDIM eta=0.5", "DDIM eta=1", "DDPM", "Euler ancestral", "DPM++ SDE", "TCD")
    ),
    ("SDXL", "Euler"),
    ("LCM", "LCM"),
    ("SD3", "flow-match Euler stochastic"),
    ("FLUX.1", "flow-match Euler"),
    ("PixArt-Sigma", "DPM++"),
    ("SANA", "DPM++ flow"),
    ("SANA-Sprint", "SCM"),
    ("SD inpainting", "DDIM"),
]
"""The cases of the fast tests: every scheduler with one family, the kinds of latents, one pipeline with a mask."""
