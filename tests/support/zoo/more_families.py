"""Families whose pipelines have two stages, no prompt, or frames."""

from tests.support.zoo import parts
from tests.support.zoo.parts import seeded


@seeded
def kandinsky(scheduler):
    """Prior and decoder, each with noise of its own."""
    from diffusers import KandinskyV22CombinedPipeline, PriorTransformer, UnCLIPScheduler
    from transformers import CLIPImageProcessor

    prior = PriorTransformer(
        num_attention_heads=2, attention_head_dim=8, embedding_dim=16, num_embeddings=16, num_layers=1
    )
    prior.clip_std.data.fill_(1)
    unet = parts.unet(
        in_channels=4,
        out_channels=8,
        addition_embed_type="image",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        encoder_hid_dim=16,
        encoder_hid_dim_type="image_proj",
        resnet_time_scale_shift="scale_shift",
        class_embed_type=None,
    )
    return KandinskyV22CombinedPipeline(
        unet=unet,
        scheduler=scheduler,
        movq=parts.movq(),
        prior_prior=prior.eval(),
        prior_image_encoder=parts.clip_vision(),
        prior_text_encoder=parts.clip_text(projected=True),
        prior_tokenizer=parts.clip_tokenizer(),
        prior_scheduler=UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", num_train_timesteps=1000, clip_sample_range=10.0
        ),
        prior_image_processor=CLIPImageProcessor(crop_size=16, size=16),
    )


@seeded
def kandinsky3(scheduler):
    from diffusers import Kandinsky3Pipeline, Kandinsky3UNet

    unet = Kandinsky3UNet(
        in_channels=4,
        time_embedding_dim=4,
        groups=2,
        attention_head_dim=4,
        layers_per_block=3,
        block_out_channels=(8, 16),
        cross_attention_dim=4,
        encoder_hid_dim=16,
    )
    return Kandinsky3Pipeline(
        unet=unet.eval(), scheduler=scheduler, movq=parts.movq(), text_encoder=parts.t5(), tokenizer=parts.tokenizer()
    )


@seeded
def unconditional(scheduler, kind):
    import diffusers

    unet = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(4, 8),
        layers_per_block=1,
        norm_num_groups=2,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    return getattr(diffusers, kind)(unet=unet.eval(), scheduler=scheduler)


@seeded
def animatediff(scheduler):
    from diffusers import AnimateDiffPipeline, MotionAdapter

    adapter = MotionAdapter(
        block_out_channels=(4, 8),
        motion_layers_per_block=1,
        motion_norm_num_groups=2,
        motion_num_attention_heads=2,
        motion_max_seq_length=8,
    )
    return AnimateDiffPipeline(
        unet=parts.unet(),
        vae=parts.vae(),
        text_encoder=parts.clip_text(),
        tokenizer=parts.clip_tokenizer(),
        motion_adapter=adapter.eval(),
        scheduler=scheduler,
    )
