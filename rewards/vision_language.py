"""A vision-language model in this process, of any family that transformers loads for images and text to text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.storage.read_weights import load_whole, read_once, reading
from zo_dno.storage.weights import TOKENIZER, WEIGHTS

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

NEEDED = (*WEIGHTS, *TOKENIZER, "preprocessor_config.json or processor_config.json")


@dataclass(frozen=True, slots=True, eq=False)
class VisionLanguageModel:
    """A network that continues a text about an image.

    Attributes:
        network: What transformers loads as AutoModelForImageTextToText.
        processor: Its processor, which has a chat template.
    """

    network: Any
    processor: Any

    def token(self, text: str) -> int:
        """Return the first token of a text."""
        return int(self.processor.tokenizer(text, add_special_tokens=False).input_ids[0])

    def next_token(self, images: "Sequence[Image.Image]", questions: Sequence[str]) -> "Tensor":
        """Return the probabilities of the first token of the response to each question: (n, tokens) float32."""
        logits: Tensor = self.network(**self._inputs(images, questions), logits_to_keep=1).logits
        return logits[:, -1].float().softmax(dim=-1)

    def responses(self, images: "Sequence[Image.Image]", questions: Sequence[str], longest: int) -> list[str]:
        """Return the most likely response to each question token by token, of at most `longest` tokens."""
        inputs = self._inputs(images, questions)
        written = self.network.generate(**inputs, max_new_tokens=longest, do_sample=False)
        return list(self.processor.batch_decode(written[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True))

    def _inputs(self, images: "Sequence[Image.Image]", questions: Sequence[str]) -> Any:
        texts = []
        for question in questions:
            asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
            texts.append(self.processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False))
        options = {"padding": True, "padding_side": "left", "return_tensors": "pt"}  # responses begin at one place
        inputs = self.processor(images=list(images), text=texts, **options)
        return inputs.to(self.network.device, self.network.dtype)


@read_once
def load_vision_language(folder: Path, dtype: str, device: str) -> VisionLanguageModel:
    """Read a vision-language model as transformers saves it.

    Raises:
        InputError: The model cannot be read or is not whole, or its processor needs a package that is not installed.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:  # first, since it takes no time
        with reading("model", folder):
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    except InputError as error:
        if not isinstance(error.__cause__, ImportError):
            raise
        reason = one_line(str(error.__cause__), 160)
        raise InputError(
            f"model {str(folder)!r} needs a package that is not installed: {reason} Most such models need torchvision, "
            "built for the torch that is installed."
        ) from error
    with reading("model", folder):
        network = load_whole(AutoModelForImageTextToText, folder, dtype=dtype)
    return VisionLanguageModel(network.to(device), processor)
