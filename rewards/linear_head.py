"""A stack of linear layers that maps an embedding to a score, as many reward models end in one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """Linear layers one after the other; dropout between them matters in training alone.

    Attributes:
        layers: Weight (outputs, inputs) and bias (outputs,) of each layer, float32.
        relu: Whether negative numbers become 0 between two layers.
    """

    layers: "tuple[tuple[Tensor, Tensor], ...]"
    relu: bool = False

    @classmethod
    def of(
        cls, tensors: "dict[str, Tensor]", prefix: str, device: str, *, outputs: int = 1, relu: bool = False
    ) -> "LinearHead":
        """Take the layers <prefix><number>.weight and .bias in the order of their numbers.

        Raises:
            ValueError: There are no layers, or they do not follow each other down to so many outputs.
            KeyError: A bias is missing.
        """
        names = (name.removeprefix(prefix) for name in tensors if name.startswith(prefix) and name.endswith(".weight"))
        keys = [
            prefix + name.removesuffix(".weight")
            for name in sorted(names, key=lambda name: int(name.partition(".")[0]))
        ]
        layers = [tuple(tensors[f"{key}.{name}"].float().to(device) for name in ("weight", "bias")) for key in keys]
        widths = [weight.shape[0] for weight, _ in layers]
        if not layers or [weight.shape[1] for weight, _ in layers[1:]] + [outputs] != widths:
            end = "one number" if outputs == 1 else f"{outputs} numbers"
            raise ValueError(f"{prefix}* must be linear layers that end in {end}; got widths {widths}")
        return cls(tuple((weight, bias) for weight, bias in layers), relu)

    @property
    def width(self) -> int:
        """Width of the embeddings."""
        return self.layers[0][0].shape[1]

    def __call__(self, embeddings: "Tensor") -> "Tensor":
        """Score embeddings (n, width) by the first output: (n,)."""
        from torch.nn.functional import linear

        for number, (weight, bias) in enumerate(self.layers):
            if self.relu and number:
                embeddings = embeddings.relu()
            embeddings = linear(embeddings, weight, bias)
        return embeddings[:, 0]
