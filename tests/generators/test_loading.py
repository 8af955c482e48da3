"""What a pipeline is loaded from and what is put on it: byte for byte as diffusers does it by hand, or one line."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.support.weight_files import (
    configs_of,
    inversion_file,
    ip_adapter_file,
    lora_file,
    single_file,
    vae_weights,
)
from tests.support.zoo.check import build
from zo_dno.errors import InputError
from zo_dno.generators import adapters
from zo_dno.generators.diffusers_generator import DiffusersGenerator

FEW = {"steps": 2, "batch_size": 2}


@pytest.fixture(scope="module")
def files(tmp_path_factory, stable_diffusion_folder, loaded_stable_diffusion):
    """Files as people bring them, for the tiny pipeline."""
    from diffusers import AutoencoderKL

    folder, pipeline = tmp_path_factory.mktemp("files"), loaded_stable_diffusion
    single_file(pipeline, folder / "one.safetensors")
    configs_of(stable_diffusion_folder, folder / "configs")
    lora_file(pipeline.unet, folder / "style.safetensors")
    lora_file(pipeline.unet, folder / "light.safetensors", seed=5)
    inversion_file(folder / "toy.safetensors", "<toy>", 16)
    (folder / "ip").mkdir()
    ip_adapter_file(pipeline.unet, folder / "ip" / "ip.safetensors")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)).save(folder / "image.png")
    with torch.random.fork_rng():
        torch.manual_seed(9)
        vae = AutoencoderKL.from_config(pipeline.vae.config).eval()
        wide = AutoencoderKL.from_config(pipeline.vae.config, latent_channels=8)
    vae.save_pretrained(folder / "vae")
    wide.save_pretrained(folder / "wide")
    save_file({name: one.contiguous().clone() for name, one in vae_weights(vae).items()}, folder / "vae.safetensors")
    return folder


def drawn(generator):
    """Render two images from the same noise each time."""
    return generator(torch.randn(2, 256, generator=torch.Generator().manual_seed(0)))


def by_hand(pipeline, prompt="a cat", **arguments):
    """Let a pipeline itself render the same two images."""
    noise = torch.randn(2, 256, generator=torch.Generator().manual_seed(0))
    images = pipeline(
        prompt,
        num_images_per_prompt=2,
        latents=noise.reshape(2, 4, 8, 8),
        num_inference_steps=2,
        output_type="np",
        **arguments,
    ).images
    return torch.from_numpy((images * 255).round()).to(torch.uint8)


def test_a_single_file_is_the_pipeline_it_was_made_from(files, stable_diffusion, tmp_path):
    expected, configs = by_hand(stable_diffusion), str(files / "configs")
    generator = DiffusersGenerator.from_pretrained(files / "one.safetensors", "a cat", pipeline_config=configs, **FEW)
    assert torch.equal(drawn(generator), expected)
    assert generator.settings["model"] == str(files / "one.safetensors")
    assert generator.settings["pipeline_config"] == configs

    torch.save({"state_dict": load_file(files / "one.safetensors")}, tmp_path / "one.ckpt")
    older = DiffusersGenerator.from_pretrained(tmp_path / "one.ckpt", "a cat", pipeline_config=configs, **FEW)
    assert torch.equal(drawn(older), expected)


def test_a_file_of_the_denoiser_alone_takes_all_else_from_the_folder(files, stable_diffusion_folder, tmp_path, caplog):
    state = load_file(files / "one.safetensors")
    save_file({name: one for name, one in state.items() if "diffusion_model" in name}, tmp_path / "unet.safetensors")
    folder = str(stable_diffusion_folder)
    generator = DiffusersGenerator.from_pretrained(
        tmp_path / "unet.safetensors", "a cat", pipeline_config=folder, **FEW
    )
    assert torch.equal(drawn(generator), drawn(DiffusersGenerator(folder, "a cat", **FEW)))
    assert "lacks the text encoder: all but the denoiser is taken from" in caplog.text
    with pytest.raises(InputError, match=r"could not be loaded: .*the weights of all else must be there"):
        DiffusersGenerator.from_pretrained(
            tmp_path / "unet.safetensors", "a cat", pipeline_config=str(files / "configs"), **FEW
        )


def test_loras_with_their_scales(files, stable_diffusion, stable_diffusion_folder):
    plain = by_hand(stable_diffusion)
    loras = [f"{files / 'style.safetensors'}:0.7", str(files / "light.safetensors")]
    generator = DiffusersGenerator.from_pretrained(stable_diffusion_folder, "a cat", lora=loras, **FEW)
    stable_diffusion.load_lora_weights(str(files / "style.safetensors"), adapter_name="a")
    stable_diffusion.load_lora_weights(str(files / "light.safetensors"), adapter_name="b")
    stable_diffusion.set_adapters(["a", "b"], [0.7, 1.0])
    expected = by_hand(stable_diffusion)
    assert not torch.equal(expected, plain)
    assert torch.equal(drawn(generator), expected)
    assert generator.settings["lora"] == loras
    assert generator.with_prompt("a dog").settings["lora"] == loras
    assert generator.with_settings("a cat", **FEW).settings["lora"] == loras


def test_another_scheduler_with_options(stable_diffusion, stable_diffusion_folder):
    from diffusers import EulerDiscreteScheduler

    options = {"timestep_spacing": "trailing"}
    generator = DiffusersGenerator.from_pretrained(
        stable_diffusion_folder, "a cat", scheduler="EulerDiscreteScheduler", scheduler_options=options, **FEW
    )
    config = stable_diffusion.scheduler.config
    stable_diffusion.scheduler = EulerDiscreteScheduler.from_config(config, **options)
    assert torch.equal(drawn(generator), by_hand(stable_diffusion))
    assert generator.settings["scheduler"] == "EulerDiscreteScheduler"
    assert generator.settings["scheduler_options"] == options


@pytest.mark.parametrize("name", ["vae", "vae.safetensors"])
@pytest.mark.fast_cases(1)
def test_another_autoencoder(files, stable_diffusion, stable_diffusion_folder, name):
    from diffusers import AutoencoderKL

    generator = DiffusersGenerator.from_pretrained(stable_diffusion_folder, "a cat", vae=str(files / name), **FEW)
    stable_diffusion.vae = AutoencoderKL.from_pretrained(files / "vae")
    assert torch.equal(drawn(generator), by_hand(stable_diffusion))


@pytest.mark.parametrize("token", [None, "zz"])
def test_a_textual_inversion(files, stable_diffusion, stable_diffusion_folder, token):
    path, prompt = str(files / "toy.safetensors"), f"a {token or '<toy>'} cat"
    generator = DiffusersGenerator.from_pretrained(
        stable_diffusion_folder, prompt, textual_inversion=f"{path}:{token}" if token else path, **FEW
    )
    stable_diffusion.load_textual_inversion(path, token=token)
    assert torch.equal(drawn(generator), by_hand(stable_diffusion, prompt))


def test_an_ip_adapter(files, stable_diffusion, stable_diffusion_folder):
    image = str(files / "image.png")
    generator = DiffusersGenerator.from_pretrained(
        stable_diffusion_folder,
        "a cat",
        ip_adapter=f"{files / 'ip' / 'ip.safetensors'}:0.6",
        ip_adapter_image=image,
        **FEW,
    )
    stable_diffusion.load_ip_adapter(str(files / "ip"), subfolder="", weight_name="ip.safetensors")
    stable_diffusion.set_ip_adapter_scale(0.6)
    assert torch.equal(drawn(generator), by_hand(stable_diffusion, ip_adapter_image=Image.open(image)))
    assert generator.settings["generator_options"] == {"ip_adapter_image": image}


def test_embeddings_in_place_of_a_prompt(stable_diffusion, stable_diffusion_folder, tmp_path):
    prompt, negative = stable_diffusion.encode_prompt("a cat", "cpu", 1, True)
    path = str(tmp_path / "embeds.safetensors")
    save_file({"prompt_embeds": prompt.contiguous(), "negative_prompt_embeds": negative.contiguous()}, path)
    embeds = {"prompt_embeds": path, "negative_prompt_embeds": path}
    generator = DiffusersGenerator.from_pretrained(stable_diffusion_folder, "a cat", **embeds, **FEW)
    assert torch.equal(drawn(generator), by_hand(stable_diffusion))
    assert generator.settings["generator_options"] == embeds
    with pytest.raises(InputError, match="prompt must stay 'a cat', whose prompt_embeds were given; got 'a dog'"):
        generator.with_prompt("a dog")


def test_a_variant_of_the_weights(stable_diffusion, tmp_path):
    stable_diffusion.save_pretrained(tmp_path / "half", variant="fp16")
    generator = DiffusersGenerator.from_pretrained(tmp_path / "half", "a cat", variant="fp16", **FEW)
    assert torch.equal(drawn(generator), by_hand(stable_diffusion))
    assert generator.settings["variant"] == "fp16"
    with pytest.raises(InputError, match="Check that its weights have the variant 'fp17', or leave variant out"):
        DiffusersGenerator.from_pretrained(tmp_path / "half", "a cat", variant="fp17", **FEW)


def test_another_class_of_pipeline(files, stable_diffusion_folder):
    generator = DiffusersGenerator.from_pretrained(
        stable_diffusion_folder,
        "a cat",
        pipeline_class="StableDiffusionImg2ImgPipeline",
        image=str(files / "image.png"),
        batch_size=1,
        steps=2,
    )
    assert type(generator._pipeline).__name__ == "StableDiffusionImg2ImgPipeline"


def test_things_are_put_on_a_loaded_pipeline(files, stable_diffusion):
    lora = str(files / "style.safetensors")
    generator = DiffusersGenerator.from_pretrained(stable_diffusion, "a cat", lora=lora, **FEW)
    assert generator.settings["lora"] == [lora]
    with pytest.raises(InputError, match="lora must be left out with a pipeline that has LoRAs already"):
        DiffusersGenerator.from_pretrained(stable_diffusion, "a cat", lora=lora, **FEW)
    with pytest.raises(InputError, match="revision must be left out with a pipeline that is loaded already; got 'v2'"):
        DiffusersGenerator.from_pretrained(stable_diffusion, "a cat", revision="v2", **FEW)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lora": "FILES/stile.safetensors"}, r"lora '.*' is a path, and there is nothing\. Did you mean '.*style.saf"),
        ({"lora": "FILES/style.safetensors:strong"}, r"lora must be PATH or PATH:SCALE.*; got '.*:strong'"),
        ({"lora": "FILES/one.safetensors"}, r"lora '.*' could not be loaded: Invalid LoRA checkpoint.*was made for"),
        ({"vae": "FILES/wide"}, r"vae must have the 4 latent channels of StableDiffusionPipeline; got '.*' with 8\."),
        ({"vae": "FILES/ip/image_encoder"}, r"vae '.*' could not be loaded: .*Give the folder, the file or the hub"),
        ({"vae": "owner/name"}, r"vae 'owner/name' could not be loaded: "),
        ({"scheduler": "euler"}, "scheduler 'euler' is unknown. Did you mean 'EulerDiscreteScheduler'"),
        (
            {"scheduler": "FlowMatchEulerDiscreteScheduler"},
            "does not work here: StableDiffusionPipeline is no model of",
        ),
        ({"scheduler_options": {"spacing": 1}}, r"DDIMScheduler option 'spacing' is unknown\. "),
        ({"scheduler_options": {"timestep_spacing": "odd"}}, "DDIMScheduler with timestep_spacing=odd does not work"),
        ({"textual_inversion": "FILES/one.safetensors"}, r"textual_inversion '.*' could not be loaded"),
        ({"ip_adapter": "FILES/ip/ip.safetensors"}, "ip_adapter must come with its image, the call argument"),
        ({"ip_adapter": "FILES/ip", "ip_adapter_image": "FILES/image.png"}, "ip_adapter must be the file of its"),
        ({"pipeline_class": "StableDifusionPipeline"}, "is unknown. Did you mean 'StableDiffusionPipeline'"),
        ({"pipeline_config": "FILES/configs"}, "pipeline_config must be left out with a folder"),
        ({"revision": "main"}, "revision must be left out with a folder; got 'main'"),
        ({"guidance_scale": -3}, "guidance must be a number of at least 0; got -3"),
    ],
)
def test_mistakes_are_one_line(files, stable_diffusion_folder, options, message):
    def placed(value):
        return value.replace("FILES", str(files)) if isinstance(value, str) else value

    options = {name: placed(value) for name, value in options.items()}
    with pytest.raises(InputError, match=message) as raised:
        DiffusersGenerator.from_pretrained(stable_diffusion_folder, "a cat", **options, **FEW)
    assert "\n" not in str(raised.value)


def test_a_lora_for_another_model_is_refused_or_said(files, stable_diffusion_folder, tmp_path, caplog):
    state = load_file(files / "style.safetensors")
    wrong = {name: torch.zeros(2, 24) if "lora_A" in name else one for name, one in state.items()}
    save_file(wrong, tmp_path / "wrong.safetensors")
    with pytest.raises(InputError, match=r"could not be loaded: .*size mismatch .*Give a LoRA that was made for"):
        DiffusersGenerator.from_pretrained(
            stable_diffusion_folder, "a cat", lora=str(tmp_path / "wrong.safetensors"), **FEW
        )

    further = {"unet.more.to_q.lora_A.weight": torch.zeros(2, 16), "unet.more.to_q.lora_B.weight": torch.zeros(16, 2)}
    save_file(further, tmp_path / "none.safetensors")
    with pytest.raises(InputError, match=r"lora '.*none.safetensors' could not be loaded"):
        DiffusersGenerator.from_pretrained(
            stable_diffusion_folder, "a cat", lora=str(tmp_path / "none.safetensors"), **FEW
        )

    save_file(state | further, tmp_path / "more.safetensors")
    DiffusersGenerator.from_pretrained(stable_diffusion_folder, "a cat", lora=str(tmp_path / "more.safetensors"), **FEW)
    assert "adapts 17 layers, of which StableDiffusionPipeline has only 16" in caplog.text


def test_lora_without_peft_names_the_package(files, stable_diffusion, monkeypatch):
    monkeypatch.setattr("diffusers.utils.USE_PEFT_BACKEND", False)
    with pytest.raises(InputError, match="lora needs the package peft, .*pip install -U peft"):
        adapters.put_loras(stable_diffusion, [str(files / "style.safetensors")])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("./missing", r"model './missing' is a path, and there is nothing at /.*missing\. Check the path\."),
        ("FILES/on.safetensors", r"is a path, and there is nothing\. Did you mean '.*one.safetensors'\?"),
        ("FILES/deep/er", r"is a path, and there is nothing\. Its folder .*deep does not exist\."),
        ("FILES", r"model must be a folder that holds a pipeline, .*Did you mean its file '.*one.safetensors'\?"),
        ("FILES/one.safetensors", r"needs the config of stable-diffusion-v1-5/.*within reach.*Give pipeline_config"),
        ("owner/name", r"model 'owner/name' could not be loaded: .*or a hub name that is on this machine"),
        ("scene", "model 'scene' is unknown. Did you mean 'scenes'"),
        ("one.safetensors", r"model 'one.safetensors' is a path, and there is nothing"),
    ],
)
def test_models_that_are_not_there(files, model, message):
    with pytest.raises(InputError, match=message) as raised:
        DiffusersGenerator.from_pretrained(model.replace("FILES", str(files)), "a cat", **FEW)
    assert "\n" not in str(raised.value)


def test_damaged_files(stable_diffusion_folder, files, tmp_path):
    (tmp_path / "torn.safetensors").write_bytes(b"torn" * 20)
    path = str(tmp_path / "torn.safetensors")
    for option in ("lora", "vae", "textual_inversion", "ip_adapter"):
        image = {"ip_adapter_image": str(files / "image.png")} if option == "ip_adapter" else {}
        with pytest.raises(InputError, match=f"{option} '.*torn.safetensors' could not be loaded"):
            DiffusersGenerator.from_pretrained(stable_diffusion_folder, "a cat", **{option: path}, **image, **FEW)
    for config in ({}, {"pipeline_config": str(files / "configs")}):
        with pytest.raises(InputError, match=r"model '.*torn.safetensors' could not be loaded"):
            DiffusersGenerator.from_pretrained(path, "a cat", **config, **FEW)
    with pytest.raises(InputError, match="pipeline_config '/no/where' is a path, and there is nothing"):
        DiffusersGenerator.from_pretrained(files / "one.safetensors", "a cat", pipeline_config="/no/where", **FEW)
    shutil.copytree(files / "configs", tmp_path / "configs")
    (tmp_path / "configs" / "model_index.json").write_text("{")
    with pytest.raises(InputError, match="pipeline_config must be a folder with model_index.json, or a hub name"):
        DiffusersGenerator.from_pretrained(
            files / "one.safetensors", "a cat", pipeline_config=str(tmp_path / "configs"), **FEW
        )


def test_sdxl_with_a_lora_and_an_inversion_for_both_text_encoders(tmp_path):
    pipeline, _ = build("SDXL", "DDIM")
    pipeline.save_pretrained(tmp_path / "sdxl")
    lora = lora_file(pipeline.unet, tmp_path / "ink.safetensors")
    random = torch.Generator().manual_seed(0)
    vectors = {key: 3 * torch.randn(1, 16, generator=random) for key in ("clip_l", "clip_g")}
    save_file(vectors, tmp_path / "toy.safetensors")
    generator = DiffusersGenerator.from_pretrained(
        tmp_path / "sdxl",
        "a toy cat",
        lora=f"{lora}:0.5",
        textual_inversion=str(tmp_path / "toy.safetensors"),
        **FEW,
    )

    plain = drawn_by(DiffusersGenerator(pipeline, "a toy cat", **FEW))
    for key, place in (("clip_l", ""), ("clip_g", "_2")):
        encoder, tokenizer = getattr(pipeline, f"text_encoder{place}"), getattr(pipeline, f"tokenizer{place}")
        pipeline.load_textual_inversion(vectors[key], token="toy", text_encoder=encoder, tokenizer=tokenizer)
    pipeline.load_lora_weights(str(lora), adapter_name="ink")
    pipeline.set_adapters(["ink"], [0.5])
    expected = drawn_by(DiffusersGenerator(pipeline, "a toy cat", **FEW))
    assert not torch.equal(expected, plain)
    assert torch.equal(drawn_by(generator), expected)


def test_flux_with_a_lora_and_a_stochastic_scheduler(tmp_path):
    pipeline, arguments = build("FLUX.1", "flow-match Euler")
    pipeline.save_pretrained(tmp_path / "flux")
    lora = lora_file(pipeline.transformer, tmp_path / "ink.safetensors", name="transformer")
    options = {"stochastic_sampling": True}
    generator = DiffusersGenerator.from_pretrained(
        tmp_path / "flux", "a cat", lora=str(lora), scheduler_options=options, search="all", **arguments, **FEW
    )
    pipeline.load_lora_weights(str(lora), adapter_name="ink")
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, **options)
    by_hand = DiffusersGenerator(pipeline, "a cat", search="all", **arguments, **FEW)
    assert len(generator.layout.shapes) > 1
    assert torch.equal(drawn_by(generator), drawn_by(by_hand))


def drawn_by(generator):
    """Render two images of a generator with any noise."""
    return generator(torch.randn(2, generator.layout.d, generator=torch.Generator().manual_seed(0)))
