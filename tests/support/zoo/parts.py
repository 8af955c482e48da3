"""Tokenizers, text encoders and autoencoders with a few thousand random weights: the real classes, no downloads."""

import string

import torch

WORDS = ["<|startoftext|>", "<|endoftext|>", *string.ascii_lowercase, *(f"{c}</w>" for c in string.ascii_lowercase)]
CHAT = "{% for message in messages %}{{ message['content'] if message['content'] is string else 'a cat' }}{% endfor %}"


def seeded(build):
    """Make a builder's random weights always the same, and leave torch's generator alone."""

    def built(*args, **kwargs):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return build(*args, **kwargs)

    return built


def clip_tokenizer():
    from transformers import CLIPTokenizer

    return CLIPTokenizer(vocab={word: i for i, word in enumerate(WORDS)}, merges=[], model_max_length=16)


def tokenizer():
    """Tokens of one letter, as every family but CLIP's gets."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = {"<pad>": 0, "</s>": 1, "<unk>": 2} | {c: i + 3 for i, c in enumerate(string.printable)}
    inner = Tokenizer(models.WordLevel(letters, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=16
    )
    made.chat_template = CHAT
    return made


@seeded
def clip_text(width=16, projected=False, layers=1):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(WORDS),
        hidden_size=width,
        projection_dim=width,
        intermediate_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


@seeded
def clip_vision(width=16):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=width,
            projection_dim=width,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=16,
            patch_size=8,
        )
    ).eval()


@seeded
def t5(width=16):
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(vocab_size=128, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2)).eval()


@seeded
def bert(width=16):
    from transformers import BertConfig, BertModel

    return BertModel(
        BertConfig(vocab_size=128, hidden_size=width, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    ).eval()


_LANGUAGE = {
    "vocab_size": 128,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}


@seeded
def gemma():
    from transformers import Gemma2Config, Gemma2Model

    return Gemma2Model(Gemma2Config(**_LANGUAGE)).eval()


@seeded
def qwen(head=True):
    from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3Model

    return (Qwen3ForCausalLM if head else Qwen3Model)(Qwen3Config(**_LANGUAGE)).eval()


@seeded
def mistral():
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration, MistralConfig, PixtralVisionConfig

    eyes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return Mistral3ForConditionalGeneration(
        Mistral3Config(
            text_config=MistralConfig(**_LANGUAGE),
            vision_config=PixtralVisionConfig(**eyes, image_size=16, patch_size=8, head_dim=8),
        )
    ).eval()


@seeded
def vae(latents=4, **changes):
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        **{
            "block_out_channels": (4, 4),
            "norm_num_groups": 2,
            "latent_channels": latents,
            "sample_size": 16,
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            **changes,
        }
    ).eval()


@seeded
def flow_vae(latents=4):
    """As SD3's and FLUX's: shifted latents, no convolution between encoder and latents."""
    return vae(latents, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06, scaling_factor=1.5)


@seeded
def flux2_vae():
    from diffusers import AutoencoderKLFlux2

    return AutoencoderKLFlux2(
        block_out_channels=(4, 4),
        norm_num_groups=2,
        latent_channels=4,
        sample_size=16,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    ).eval()


@seeded
def deep_vae():
    """SANA's, which makes images 32 times smaller; this one makes them 2 times smaller."""
    from diffusers import AutoencoderDC

    return AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        upsample_block_type="interpolate",
        downsample_block_type="stride_conv",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    ).eval()


@seeded
def movq():
    from diffusers import VQModel

    return VQModel(
        block_out_channels=(32, 32),  # its decoder's norms have 32 groups
        down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=32,
        norm_type="spatial",
        num_vq_embeddings=12,
        vq_embed_dim=4,
    ).eval()


@seeded
def unet(**changes):
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        **{
            "sample_size": 4,
            "block_out_channels": (4, 8),
            "layers_per_block": 1,
            "norm_num_groups": 2,
            "cross_attention_dim": 16,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "attention_head_dim": 4,
            **changes,
        }
    ).eval()
