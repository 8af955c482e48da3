"""The agreement of image and prompt, as the probability of a Yes (VQAScore, Lin et al. 2024, arXiv:2404.01291)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zo_dno.errors import InputError
from zo_dno.rewards.clip_flant5 import load_clip_flant5
from zo_dno.rewards.learned import LearnedReward, Precision
from zo_dno.rewards.vision_language import NEEDED, load_vision_language
from zo_dno.storage.weights import PICKLED_WEIGHTS, TOKENIZER, model_folder

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor


@dataclass(frozen=True)
class VQAScore(LearnedReward):
    """Probability that CLIP-FlanT5 answers "Yes" to whether the image shows the prompt, in [0, 1].

    As published, it is the geometric mean of the probabilities of the answer's tokens, of which the last is the end
    token, with the sentences of the authors' package t2v_metrics around the question. It reads compositions, such as
    who does what, better than CLIP. Images are padded to a square with the mean colour.

    Class: transformers' T5ForConditionalGeneration and CLIPVisionModel. Licence of the weights: Apache-2.0, as the
    authors' repositories; CLIP's MIT. Published check value: none.

    Args:
        model: Folder or hub name of the authors' weights; "zhiqiulin/clip-flant5-xl" is a smaller one.
        tokenizer: Folder or hub name of the tokenizer of the same FlanT5.
        vision: Folder or hub name of CLIP's configuration and image processor, without weights.
        question: Question in which {} stands for the prompt.
        answer: Answer whose probability is the score.
    """

    name = "vqa_score"
    unit = "probability"
    range = (0.0, 1.0)
    model: str = "zhiqiulin/clip-flant5-xxl"
    batch: int = 1
    dtype: Precision = "bfloat16"
    tokenizer: str = "google/flan-t5-xxl"
    vision: str = "openai/clip-vit-large-patch14-336"
    question: str = 'Does this figure show "{}"? Please answer yes or no.'
    answer: str = "Yes"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_question(self.question, self.answer)

    @property
    def weights(self) -> dict[str, Path]:
        processor = "preprocessor_config.json or processor_config.json"
        return {
            "model": model_folder(f"model of {self.name}", self.model, PICKLED_WEIGHTS),
            "tokenizer": model_folder(f"tokenizer of {self.name}", self.tokenizer, TOKENIZER),
            "vision": model_folder(f"vision of {self.name}", self.vision, ("config.json", processor)),
        }

    def _scores(self, images: "list[Image.Image]", prompts: list[str], device: str) -> "Tensor":
        where = self.weights
        network = load_clip_flant5(where["model"], where["tokenizer"], where["vision"], self.dtype, device)
        questions = [self.question.replace("{}", prompt) for prompt in prompts]
        return network.probabilities(images, questions, self.answer)


@dataclass(frozen=True)
class VQAScoreVLM(LearnedReward):
    """Probability that a vision-language model's answer begins with "Yes" when asked if the image shows the prompt.

    The general form of VQAScore for any model that transformers loads for images and text to text: the softmax over
    all tokens at the first place of the answer. For a model behind a server, the reward `vlm` with `mode=yes` asks the
    same.

    Class: transformers' AutoModelForImageTextToText. Licence of the weights: the model's; Apache-2.0 for the default.
    Published check value: none.

    Args:
        model: Folder or hub name.
        question: Question in which {} stands for the prompt.
        answer: Answer whose first token's probability is the score.
    """

    name = "vqa_score_vlm"
    unit = "probability"
    range = (0.0, 1.0)
    model: str = "Qwen/Qwen2.5-VL-7B-Instruct"
    batch: int = 1
    dtype: Precision = "bfloat16"
    question: str = 'Does this image show "{}"?'
    answer: str = "Yes"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_question(self.question, self.answer)

    @property
    def weights(self) -> dict[str, Path]:
        return {"model": model_folder(f"model of {self.name}", self.model, NEEDED)}

    def _scores(self, images: "list[Image.Image]", prompts: list[str], device: str) -> "Tensor":
        model = load_vision_language(self.weights["model"], self.dtype, device)
        questions = [self.question.replace("{}", prompt) for prompt in prompts]
        return model.next_token(images, questions)[:, model.token(self.answer)]


def check_question(question: str, answer: str) -> None:
    """Refuse a question without a place for the prompt, and an empty answer.

    Raises:
        InputError: The question or the answer does not fit.
    """
    if "{}" not in question:
        raise InputError(f"question must have {{}} where the prompt belongs; got {question!r}.")
    if not answer:
        raise InputError("answer must be a word such as 'Yes'; got ''.")
