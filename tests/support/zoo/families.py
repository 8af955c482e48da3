"""One builder for each family of pipelines, given its scheduler."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from tests.support.zoo import parts
from tests.support.zoo.parts import seeded

PICTURE = Image.fromarray(np.linspace(0, 255, 8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3))
MASK = Image.fromarray((np.arange(64).reshape(8, 8) % 8 < 4).astype(np.uint8) * 255)
NOISE_PREDICTING = ("DDIM", "DDIM eta=1", "DDPM", "Euler", "Euler ancestral", "DPM++", "DPM++ SDE", "LCM", "TCD")
FLOW = ("flow-match Euler", "flow-match Euler stochastic")


@dataclass(frozen=True)
class Family:
    """How a family's pipeline is built and called.

    Attributes:
        build: Function of a scheduler that builds the pipeline.
        schedulers: Names of the schedulers that diffusers' documentation allows; the first is the family's own.
        arguments: Arguments of the pipeline's call.
        steps: Number of denoising steps.
        prediction: Kind of the denoiser's output, for schedulers with an option for it.
        prompt: Prompt of the call.
        prompt_list: Whether several images take a list of prompts.
    """

    build: Callable[[Any], Any]
    schedulers: tuple[str, ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    steps: int = 3
    prediction: str = "epsilon"
    prompt: str = "a cat"
    prompt_list: bool = False


def stable_diffusion(scheduler, kind="StableDiffusionPipeline", unet=None, **extra):
    import diffusers

    return getattr(diffusers, kind)(
        unet=unet or parts.unet(),
        vae=parts.vae(),
        text_encoder=parts.clip_text(),
        tokenizer=parts.clip_tokenizer(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        **extra,
    )


@seeded
def controlnet(scheduler):
    from diffusers import ControlNetModel

    unet = parts.unet()
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8)).eval()
    net.controlnet_mid_block.weight.data.normal_(std=0.1)  # it begins as zeros, which would hide the image
    return stable_diffusion(scheduler, "StableDiffusionControlNetPipeline", unet=unet, controlnet=net)


def sdxl(scheduler, kind="StableDiffusionXLPipeline"):
    import diffusers

    unet = parts.unet(
        cross_attention_dim=32,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=64,
    )
    return getattr(diffusers, kind)(
        unet=unet,
        vae=parts.vae(),
        text_encoder=parts.clip_text(layers=2),
        text_encoder_2=parts.clip_text(layers=2, projected=True),
        tokenizer=parts.clip_tokenizer(),
        tokenizer_2=parts.clip_tokenizer(),
        scheduler=scheduler,
        add_watermarker=False,
    )


def lcm(scheduler):
    from diffusers import LatentConsistencyModelPipeline

    return LatentConsistencyModelPipeline(
        unet=parts.unet(time_cond_proj_dim=8),
        vae=parts.vae(),
        text_encoder=parts.clip_text(),
        tokenizer=parts.clip_tokenizer(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@seeded
def sd3(scheduler):
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

    transformer = SD3Transformer2DModel(
        sample_size=4,
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_projection_dim=16,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        pos_embed_max_size=8,
    )
    return StableDiffusion3Pipeline(
        transformer=transformer.eval(),
        scheduler=scheduler,
        vae=parts.flow_vae(),
        text_encoder=parts.clip_text(layers=2, projected=True),
        tokenizer=parts.clip_tokenizer(),
        text_encoder_2=parts.clip_text(layers=2, projected=True),
        tokenizer_2=parts.clip_tokenizer(),
        text_encoder_3=parts.t5(32),
        tokenizer_3=parts.tokenizer(),
    )


@seeded
def flux(scheduler):
    from diffusers import FluxPipeline, FluxTransformer2DModel

    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    return FluxPipeline(
        transformer=transformer.eval(),
        scheduler=scheduler,
        vae=parts.flow_vae(),
        text_encoder=parts.clip_text(),
        tokenizer=parts.clip_tokenizer(),
        text_encoder_2=parts.t5(),
        tokenizer_2=parts.tokenizer(),
    )


@seeded
def flux2(scheduler, klein=False):
    from diffusers import Flux2KleinPipeline, Flux2Pipeline, Flux2Transformer2DModel

    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        timestep_guidance_channels=8,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=not klein,
    )
    return (Flux2KleinPipeline if klein else Flux2Pipeline)(
        transformer=transformer.eval(),
        scheduler=scheduler,
        vae=parts.flux2_vae(),
        text_encoder=parts.qwen() if klein else parts.mistral(),
        tokenizer=parts.tokenizer(),
    )


@seeded
def pixart(scheduler):
    from diffusers import PixArtSigmaPipeline, PixArtTransformer2DModel

    transformer = PixArtTransformer2DModel(
        sample_size=4,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=16,
        in_channels=4,
        out_channels=8,
        cross_attention_dim=16,
        use_additional_conditions=False,
    )
    return PixArtSigmaPipeline(
        transformer=transformer.eval(),
        scheduler=scheduler,
        vae=parts.vae(),
        text_encoder=parts.t5(),
        tokenizer=parts.tokenizer(),
    )


@seeded
def sana(scheduler, sprint=False):
    from diffusers import SanaPipeline, SanaSprintPipeline, SanaTransformer2DModel

    transformer = SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=8,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=16,
        sample_size=4,
        patch_size=1,
        guidance_embeds=sprint,
        qk_norm="rms_norm_across_heads" if sprint else None,
    )
    return (SanaSprintPipeline if sprint else SanaPipeline)(
        transformer=transformer.eval(),
        scheduler=scheduler,
        vae=parts.deep_vae(),
        text_encoder=parts.gemma(),
        tokenizer=parts.tokenizer(),
    )


@seeded
def z_image(scheduler):
    from diffusers import ZImagePipeline, ZImageTransformer2DModel

    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[4, 6, 6],
        axes_lens=[64, 16, 16],
    )
    for name in ("x_pad_token", "cap_pad_token"):  # left as they were in memory
        getattr(transformer, name).data.zero_()
    return ZImagePipeline(
        transformer=transformer.eval(),
        scheduler=scheduler,
        vae=parts.flow_vae(),
        text_encoder=parts.qwen(head=False),
        tokenizer=parts.tokenizer(),
    )


@seeded
def hunyuan(scheduler):
    from diffusers import HunyuanDiT2DModel, HunyuanDiTPipeline

    transformer = HunyuanDiT2DModel(
        sample_size=8,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        hidden_size=16,
        cross_attention_dim=16,
        cross_attention_dim_t5=16,
        pooled_projection_dim=16,
        text_len=77,
        text_len_t5=256,
        activation_fn="gelu-approximate",
    )
    return HunyuanDiTPipeline(
        transformer=transformer.eval(),
        scheduler=scheduler,
        vae=parts.vae(block_out_channels=(4,) * 2),
        text_encoder=parts.bert(),
        tokenizer=parts.tokenizer(),
        text_encoder_2=parts.t5(),
        tokenizer_2=parts.tokenizer(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
