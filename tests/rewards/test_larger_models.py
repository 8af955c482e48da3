"""Rewards by larger networks: tiny random ones through the real loading code, against arithmetic written out here."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F  # noqa: N812

from tests.support.learning import PROMPTS, pictures
from tests.support.plain_networks import MEAN, linear_layer
from tests.support.plain_networks import pixels as clip_pixels
from tests.support.tiny_models import SIDE, head_tensors, save_clip
from tests.support.tiny_reward_models import save_clip_flant5, save_llava, save_qwen, save_siglip
from zo_dno.errors import InputError
from zo_dno.oracle.oracle import Oracle
from zo_dno.rewards.aesthetic_v2_5 import AestheticV25
from zo_dno.rewards.hpsv3 import HPSv3, current_names
from zo_dno.rewards.unified_reward import UnifiedReward
from zo_dno.rewards.vqa_score import VQAScore, VQAScoreVLM
from zo_dno.storage.weights import fingerprint

NAMES = ["aesthetic_v2_5", "hpsv3", "vqa_score", "vqa_score_vlm"]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("larger")
    clip = save_clip(folder / "clip")
    save_siglip(folder / "siglip")
    head = {name.replace("layers", "scoring_head"): tensor for name, tensor in head_tensors(32).items()}
    torch.save(head, folder / "head.pth")
    save_clip_flant5(folder / "t5", clip)
    save_qwen(folder / "qwen")
    save_llava(folder / "llava")
    return folder


def made(name: str, models: Path, **options):
    """Make a reward in full precision, which is the default of none of the large ones."""
    at = {key: str(models / path) for key, path in PLACES[name].items()}
    return REWARD[name](**at, **{"dtype": "float32", "batch": 3, **options})


REWARD = {
    "aesthetic_v2_5": AestheticV25,
    "hpsv3": HPSv3,
    "vqa_score": VQAScore,
    "vqa_score_vlm": VQAScoreVLM,
    "unified_reward": UnifiedReward,
}
PLACES = {
    "aesthetic_v2_5": {"model": "siglip", "head": "head.pth"},
    "hpsv3": {"model": "qwen/HPSv3.safetensors", "base": "qwen/base", "instruction": "qwen/instruction.txt"},
    "vqa_score": {"model": "t5", "tokenizer": "t5/tokenizer", "vision": "clip"},
    "vqa_score_vlm": {"model": "llava"},
    "unified_reward": {"model": "llava"},
}


class TestValues:
    def test_aesthetic_v2_5_is_the_head_of_siglips_embedding_at_length_1(self, models):
        from transformers import SiglipModel

        arrays = [np.asarray(one.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for one in pictures(3)]
        pixels = torch.tensor(np.stack(arrays) / 255 * 2 - 1, dtype=torch.float32).permute(0, 3, 1, 2)
        siglip = SiglipModel.from_pretrained(models / "siglip").eval()
        with torch.no_grad():
            score = F.normalize(siglip.vision_model(pixel_values=pixels).pooler_output, dim=-1)
        head = torch.load(models / "head.pth", weights_only=True)
        for number in (0, 2, 10):
            score = linear_layer(head, f"scoring_head.{number}", score)
        reward = made("aesthetic_v2_5", models)
        assert reward(pictures(3), PROMPTS[:3]) == pytest.approx(score[:, 0].tolist(), abs=1e-5)
        assert reward(pictures(3), ["other"] * 3) == reward(pictures(3), PROMPTS[:3])

    def test_vqa_score_is_the_mean_probability_of_yes_and_the_end(self, models):
        """The image is padded with CLIP's mean colour, and read from the last layer but one."""
        expected = [clip_flant5_yes(models, image, prompt) for image, prompt in zip(pictures(3), PROMPTS, strict=False)]
        assert made("vqa_score", models)(pictures(3), PROMPTS[:3]) == pytest.approx(expected, rel=1e-4)
        assert len({round(value, 7) for value in expected}) == 3

    def test_vqa_score_of_a_model_is_the_probability_of_yes_at_the_first_place(self, models):
        from transformers import AutoProcessor, LlavaForConditionalGeneration

        model = LlavaForConditionalGeneration.from_pretrained(models / "llava").eval()
        processor = AutoProcessor.from_pretrained(models / "llava")
        yes = processor.tokenizer("Yes").input_ids[0]
        expected = []
        for image, prompt in zip(pictures(3), PROMPTS, strict=False):
            asked = f'<image>Does this image show "{prompt}"?'[: len("<image>") + 24] + ">"  # as its chat template cuts
            with torch.no_grad():
                logits = model(**processor(images=image, text=asked, return_tensors="pt")).logits[0, -1]
            expected.append(float(logits.softmax(dim=0)[yes]))
        assert made("vqa_score_vlm", models)(pictures(3), PROMPTS[:3]) == pytest.approx(expected, rel=1e-4)

    def test_hpsv3_reads_the_token_of_the_score_at_positions_that_count_up_by_one(self, models):
        (score,) = made("hpsv3", models)(pictures(1), ["a cat"])
        assert score == pytest.approx(hpsv3_mean(models, pictures(1)[0], "a cat"), abs=1e-4)
        assert score != pytest.approx(hpsv3_mean(models, pictures(1)[0], "a cat", own=True), abs=1e-3)

    def test_hpsv3_reads_weights_under_the_names_of_today(self, models, tmp_path):
        tensors = load_file(models / "qwen" / "HPSv3.safetensors")
        new = {f"model.{name}": tensor for name, tensor in current_names(tensors).items()}
        head = {name: tensor for name, tensor in tensors.items() if name.startswith("rm_head")}
        save_file(new | head, tmp_path / "new.safetensors")
        there = made("hpsv3", models)(pictures(1), ["a"])
        reward = HPSv3(
            str(tmp_path / "new.safetensors"),
            base=str(models / "qwen/base"),
            instruction=str(models / "qwen/instruction.txt"),
            dtype="float32",
        )
        assert reward(pictures(1), ["a"]) == pytest.approx(there, abs=1e-5)


def clip_flant5_yes(models: Path, image: Image.Image, prompt: str) -> float:
    """Compute exp(-loss) of "Yes" as the package t2v_metrics does, one image at a time."""
    from transformers import AutoTokenizer, CLIPModel, T5Config, T5ForConditionalGeneration

    side = max(image.size)
    square = Image.new("RGB", (side, side), tuple(int(255 * part) for part in MEAN))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    vision = CLIPModel.from_pretrained(models / "clip").eval().vision_model
    parts: dict[str, torch.Tensor] = {}
    for file in sorted((models / "t5").glob("*.bin")):
        parts |= torch.load(file, weights_only=True)
    tokenizer = AutoTokenizer.from_pretrained(models / "t5" / "tokenizer")
    settings = json.loads((models / "t5" / "config.json").read_text()) | {"vocab_size": len(parts["shared.weight"])}
    t5 = T5ForConditionalGeneration(T5Config.from_dict(settings)).eval()
    t5.load_state_dict(parts, strict=False)
    with torch.no_grad():
        hidden = vision.pre_layrnorm(vision.embeddings(clip_pixels([square])))
        hidden = vision.encoder.layers[0](hidden, attention_mask=None)  # of two
        seen = (hidden[0] if isinstance(hidden, tuple) else hidden).reshape(-1, 32)[1:]
        seen = linear_layer(parts, "mm_projector.2", F.gelu(linear_layer(parts, "mm_projector.0", seen)))
        system = (
            "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
            "detailed, and polite answers to the user's questions. USER: "
        )
        asked = f'\nDoes this figure show "{prompt}"? Please answer yes or no. ASSISTANT: '
        before, after = (t5.shared(torch.tensor([*tokenizer(text).input_ids])) for text in (system, asked))
        labels = torch.tensor([tokenizer("Yes").input_ids])
        assert labels[0, -1] == tokenizer.eos_token_id
        embedded = torch.cat([before, seen, after])[None]
        logits = t5(inputs_embeds=embedded, labels=labels).logits[0, :, : len(tokenizer)]
        return float((-F.cross_entropy(logits, labels[0])).exp())


def hpsv3_mean(models: Path, image: Image.Image, prompt: str, own: bool = False) -> float:
    """Score one image with the network's own way from tokens to hidden states; `own` positions are Qwen2-VL's."""
    from transformers import AutoTokenizer, Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLImageProcessorPil

    tensors = load_file(models / "qwen" / "HPSv3.safetensors")
    config = Qwen2VLConfig.from_pretrained(models / "qwen" / "base")
    config.text_config.vocab_size = len(tensors["model.embed_tokens.weight"])
    network = Qwen2VLForConditionalGeneration(config).eval()
    names = {f"model.{name}": tensor for name, tensor in current_names(tensors).items()}
    network.load_state_dict(names | {"lm_head.weight": tensors["lm_head.weight"]})
    tokenizer = AutoTokenizer.from_pretrained(models / "qwen" / "base")
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["<|Reward|>"]}) == 1

    scaled = image.resize((560, 392), Image.Resampling.BICUBIC)  # multiples of 28, at least 448^2 pixels, for 48x32
    seen = Qwen2VLImageProcessorPil(do_resize=False)(images=[scaled], return_tensors="pt")
    n = (560 // 28) * (392 // 28)
    text = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>"
        + "<|image_pad|>" * n
        + f"<|vision_end|>Rate it.\n{prompt}\n\nThe rating of this image: <|Reward|>\n\nEND\n<|im_end|>\n"
        + "<|im_start|>assistant\n"
    )
    ids = tokenizer(text, return_tensors="pt").input_ids
    kinds = (ids == tokenizer.convert_tokens_to_ids("<|image_pad|>")).int()
    positions = None if own else torch.arange(ids.shape[1]).expand(3, 1, -1)
    with torch.no_grad():
        hidden = network.model(
            input_ids=ids,
            pixel_values=seen.pixel_values,
            image_grid_thw=seen.image_grid_thw,
            position_ids=positions,
            mm_token_type_ids=kinds,
        ).last_hidden_state
    x = hidden[0, int((ids[0] == len(tokenizer) - 1).int().argmax())]
    x = linear_layer(tensors, "rm_head.0", x).relu()
    x = linear_layer(tensors, "rm_head.3", x).relu()
    return float(linear_layer(tensors, "rm_head.5", x)[0])


@pytest.mark.parametrize("name", NAMES)
class TestEveryOne:
    def test_a_batch_of_prompts_of_several_lengths_equals_single_calls(self, name, models):
        together = made(name, models)(pictures(3), PROMPTS[:3])
        alone = made(name, models, batch=1)
        single = [alone([image], [prompt])[0] for image, prompt in zip(pictures(3), PROMPTS, strict=False)]
        assert together == pytest.approx(single, abs=1e-5)
        assert len(set(together)) == 3

    def test_says_what_it_is_in_low_precision_too(self, name, models):
        low, full = (made(name, models, dtype=dtype) for dtype in ("bfloat16", "float32"))
        assert low.identity != full.identity
        json.dumps(full.identity)
        assert str(models) not in json.dumps(full.identity["settings"])
        (rough,), (fine,) = (reward(pictures(1), ["a"]) for reward in (low, full))
        assert rough != fine
        assert rough == pytest.approx(fine, rel=0.3, abs=0.05)


def test_what_unified_reward_writes_is_kept(models):
    reward = made("unified_reward", models, longest=6)
    scores = reward(pictures(3), PROMPTS[:3])
    assert all(score.missing and score.raw and score.kind == "no score" for score in scores)
    assert [score.raw for score in reward(pictures(3), PROMPTS[:3])] == [score.raw for score in scores]
    alone = made("unified_reward", models, longest=6, batch=1)
    assert [alone([one], [prompt])[0].raw for one, prompt in zip(pictures(3), PROMPTS, strict=False)] == [
        score.raw for score in scores
    ]


def test_another_instruction_of_hpsv3_is_another_reward(models, tmp_path):
    (tmp_path / "it.txt").write_text("How good? {text_prompt} <|Reward|>")
    own = HPSv3(
        str(models / "qwen/HPSv3.safetensors"), base=str(models / "qwen/base"), instruction=str(tmp_path / "it.txt")
    )
    assert own.identity != made("hpsv3", models, dtype="bfloat16", batch=1).identity


class TestLoading:
    @pytest.mark.parametrize(
        ("reward", "command"),
        [
            (AestheticV25(), r"hf download google/siglip-so400m-patch14-384"),
            (HPSv3(), r"hf download MizzenAI/HPSv3 HPSv3.safetensors"),
            (VQAScore(), r'hf download zhiqiulin/clip-flant5-xxl .*"\*.safetensors" --include "\*.bin"'),
            (VQAScoreVLM(), r"hf download Qwen/Qwen2.5-VL-7B-Instruct"),
            (UnifiedReward(), r"hf download CodeGoat24/UnifiedReward-qwen-7b"),
        ],
    )
    def test_the_message_names_the_command(self, reward, command, monkeypatch, tmp_path):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        with pytest.raises(InputError, match=command):
            Oracle(reward)

    def test_the_head_that_is_on_no_hub_has_its_address(self, models, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(
            InputError, match=r"Get it: curl -L --create-dirs -o ~/\.cache/torch/hub/\S+ https://github"
        ):
            Oracle(AestheticV25(str(models / "siglip")))

    def test_half_a_model_is_not_filled_up_at_random(self, models, tmp_path):
        for name, file in (("t5", "pytorch_model-00002-of-00002.bin"), ("t5", "pytorch_model-00001-of-00002.bin")):
            folder = tmp_path / file
            folder.mkdir()
            for one in (models / name).iterdir():
                if one.name != file and one.is_file():
                    (folder / one.name).symlink_to(one)
            reward = VQAScore(str(folder), tokenizer=str(models / "t5/tokenizer"), vision=str(models / "clip"))
            with pytest.raises(InputError, match=r"(model|vision) must be weights that can be read"):
                reward(pictures(1), ["a"])

    def test_other_pickled_weights_are_another_reward(self, models, tmp_path):
        before = fingerprint(models / "t5")
        for one in (models / "t5").iterdir():
            if one.is_file():
                (tmp_path / one.name).write_bytes(one.read_bytes())
        assert fingerprint(tmp_path) == before
        fingerprint.cache_clear()
        file = tmp_path / "pytorch_model-00002-of-00002.bin"
        tensors = torch.load(file, weights_only=True)
        tensors["mm_projector.2.bias"][0] += 1
        torch.save(tensors, file)
        assert fingerprint(tmp_path) != before

    def test_a_package_that_is_missing_is_named(self, models, monkeypatch):
        from transformers import AutoProcessor

        def refuse(*_, **__):
            raise ImportError("Qwen2VLVideoProcessor requires the Torchvision library")

        monkeypatch.setattr(AutoProcessor, "from_pretrained", refuse)
        reward = VQAScoreVLM(str(models / "llava"), dtype="float16")
        with pytest.raises(InputError, match=r"needs a package that is not installed: Qwen2VLVideoProcessor requires"):
            reward(pictures(1), ["a"])

    @pytest.mark.parametrize("kind", [VQAScore, VQAScoreVLM])
    def test_a_question_without_a_place_for_the_prompt_is_refused(self, kind):
        with pytest.raises(InputError, match=r"question must have \{\} where the prompt belongs"):
            kind(question="Is it good?")
        with pytest.raises(InputError, match=r"answer must be a word"):
            kind(answer="")
