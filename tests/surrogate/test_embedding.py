"""Features of trained networks: tiny ones, saved as the real ones are."""

import json

import pytest
import torch
from torch.nn.functional import interpolate

from tests.support.tiny_models import SIDE, randomise, save_clip
from zo_dno.errors import InputError
from zo_dno.rng import stream
from zo_dno.storage.weights import model_folder
from zo_dno.surrogate.embedding import Embedding
from zo_dno.surrogate.features import Features

IMAGES = torch.rand(3, 3, SIDE, SIDE, generator=stream(0, "images"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    save_clip(folder)
    return folder


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    """A DINOv2 whose processor crops to less than the network was trained on, as the real one's does."""
    from transformers import Dinov2Config, Dinov2Model

    folder = tmp_path_factory.mktemp("dino")
    shape = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": 8,
        "image_size": 2 * SIDE,
    }
    with torch.random.fork_rng():
        model = Dinov2Model(Dinov2Config(**shape)).eval()
    randomise(model.state_dict(), 0)
    model.save_pretrained(folder)
    size = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "crop_size": {"height": SIDE}}
    (folder / "preprocessor_config.json").write_text(json.dumps(size))
    return folder


@pytest.mark.parametrize("network", ["clip", "dino"])
def test_images_have_unit_vectors_with_a_gradient(network, request):
    embed = Embedding(str(request.getfixturevalue(network)))
    found = embed(IMAGES)
    assert found.shape == (3, 16 if network == "clip" else 32)
    assert torch.allclose(found.norm(dim=1), torch.ones(3), atol=1e-5)
    assert float(torch.pdist(found).min()) > 1e-3
    images = IMAGES.clone().requires_grad_()
    direction = torch.randn(found.shape, generator=stream(1, "direction"))
    (gradient,) = torch.autograd.grad((embed(images) * direction).sum(), images)
    step = 1e-2 * gradient / gradient.norm()
    change = float(((embed(IMAGES + step) - embed(IMAGES - step)) * direction).sum()) / 2
    assert change == pytest.approx(1e-2 * float(gradient.norm()), rel=0.05)


def test_vectors_of_clip_are_those_of_its_own_processor(clip):
    """For images of the network's size, which both leave as they are."""
    from PIL import Image

    from zo_dno.rewards.clip import load_clip

    whole = (IMAGES * 255).round()
    pictures = [Image.fromarray(one.permute(1, 2, 0).byte().numpy()) for one in whole]
    expected = load_clip(model_folder("model", str(clip), ()), "float32", "cpu").embed_images(pictures)
    assert torch.allclose(Embedding(str(clip))(whole / 255), expected, atol=1e-4)


def test_other_sizes_are_scaled_to_the_networks(dino):
    embed, coarse = Embedding(str(dino)), IMAGES[:, :, :4, :4]
    small, large = (interpolate(coarse, (side, side), mode="bilinear") for side in (SIDE, 3 * SIDE))
    cosines = embed(small) @ embed(large).T
    assert cosines.argmax(1).tolist() == [0, 1, 2]
    assert float(cosines.diagonal().min()) > 0.95


def test_a_model_that_is_not_here_is_named_with_the_command_that_gets_it():
    with pytest.raises(InputError, match=r"embedding must be a model's folder.* hf download facebook/dinov2-small"):
        Features(["pixels"], "facebook/dinov2-small")


def test_a_folder_without_weights_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"embedding must be a whole model; .* has no model\.safetensors"):
        Embedding(str(tmp_path))
