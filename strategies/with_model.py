"""The base class of strategies that render and take gradients through the model themselves."""

from torch import Tensor

from zo_dno.errors import AskTellError
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategy import Model


class WithModel(PopulationStrategy):
    """A strategy that is given a model before its first `ask`."""

    _model: Model | None = None

    def use_model(self, model: Model) -> None:
        self._model = model

    @property
    def model(self) -> Model:
        """The model that the strategy searches through.

        Raises:
            AskTellError: `use_model` was not called.
        """
        if self._model is None:
            raise AskTellError(f"{type(self).__name__} must be given a model to search through: use_model.")
        return self._model

    def _images(self, z: Tensor) -> Tensor:
        """Return the images of z as rewards see them, (n, 3, H, W), rounded; NaN where there is none."""
        return (self.model.render(z).cpu().clamp(0, 1) * 255).round() / 255
