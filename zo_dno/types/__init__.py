"""The types that packages exchange: candidates, queries, responses, scores, and the generator's protocols."""

from zo_dno.types.capabilities import (
    Batched,
    Described,
    Differentiable,
    Generator,
    HasLatents,
    HasVjp,
    Named,
    Probed,
    Prompted,
    RendersArrays,
    Repromptable,
    batch_size_of,
    capabilities_of,
    model_of,
    prompt_of,
)
from zo_dno.types.choices import (
    Choice,
    Order,
)
from zo_dno.types.counting import (
    balanced_slices,
    is_count,
    slices,
)
from zo_dno.types.queries import (
    AnyImage,
    Candidates,
    Query,
    RemoteImage,
    Rendered,
    Response,
    Score,
    array_of,
)

__all__ = [
    "AnyImage",
    "Batched",
    "Candidates",
    "Choice",
    "Described",
    "Differentiable",
    "Generator",
    "HasLatents",
    "HasVjp",
    "Named",
    "Order",
    "Probed",
    "Prompted",
    "Query",
    "RemoteImage",
    "Rendered",
    "RendersArrays",
    "Repromptable",
    "Response",
    "Score",
    "array_of",
    "balanced_slices",
    "batch_size_of",
    "capabilities_of",
    "is_count",
    "model_of",
    "prompt_of",
    "slices",
]
