"""What surrogates learned on earlier prompts: their scored images as features, kept in one file between runs."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.storage.atomic import write_whole
from zo_dno.storage.plain_json import parse_json

ROWS = 512
"""Largest number of rows that are kept."""
FEWEST = 8
"""Smallest number of scores that a run adds."""
_BYTES = 2**28  # of a file
_EACH = 16  # rows that an earlier prompt keeps at least; then the oldest prompts go
_TENSORS = ("features", "rewards", "prompt_of")
_METADATA = "knowledge"


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """The scored images of one run.

    Attributes:
        features: Features of the images, (n, m) float32.
        rewards: Rewards of the images, (n,) float32.
        names: Names of the families of features, in order.
        sizes: Number of features of each family.
    """

    features: Tensor
    rewards: Tensor
    names: tuple[str, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, features: Tensor, rewards: Tensor, names: tuple[str, ...], sizes: tuple[int, ...]) -> "Learned | None":
        """Return the images whose rewards are finite; None where there are too few to learn from."""
        finite = rewards.isfinite()
        return cls(features[finite], rewards[finite], names, sizes) if int(finite.sum()) >= FEWEST else None


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """The scored images of several prompts.

    Attributes:
        features: Features of the images, (n, m) float32.
        rewards: Rewards of the images, (n,) float32.
        prompt_of: Number of each image's prompt, (n,) int64.
        prompts: Prompts, the oldest first.
        names: Names of the families of features, in order.
        sizes: Number of features of each family.
        reward: Identity of the reward.
    """

    features: Tensor
    rewards: Tensor
    prompt_of: Tensor
    prompts: tuple[str, ...]
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    reward: str

    def __len__(self) -> int:
        return len(self.rewards)

    @classmethod
    def of_run(cls, learned: Learned, prompt: str, reward: str) -> "Knowledge":
        """Return what one run learned, with its prompt and the identity of its reward."""
        prompt_of = torch.zeros(len(learned.rewards), dtype=torch.long)
        whole = cls(learned.features, learned.rewards, prompt_of, (prompt,), learned.names, learned.sizes, reward)
        return whole.thinned(whole._most)

    def joined(self, newer: "Knowledge") -> "Knowledge":
        """Return these rows and newer ones, at most 512 of them. A prompt that is in both keeps its newer rows.

        Raises:
            InputError: The newer rows have other features, or rewards of another kind.
        """
        newer.check_reward(self.reward, "the newer rows")
        newer.check_features(self.names, self.sizes)
        old = [number for number, prompt in enumerate(self.prompts) if prompt not in newer.prompts]
        kept = self._of_prompts(old)
        both = replace(
            kept,
            features=torch.cat([kept.features, newer.features]),
            rewards=torch.cat([kept.rewards, newer.rewards]),
            prompt_of=torch.cat([kept.prompt_of, newer.prompt_of + len(old)]),
            prompts=(*kept.prompts, *newer.prompts),
        )
        return both.thinned(self._most)

    def thinned(self, most: int) -> "Knowledge":
        """Return at most so many rows: of the latest prompts, the best and evenly spread ones, equally many of each."""
        if len(self) <= most:
            return self
        first = max(0, len(self.prompts) - max(1, most // _EACH))
        latest = self._of_prompts(list(range(first, len(self.prompts))))
        share = most // len(latest.prompts)
        numbers = range(len(latest.prompts))
        rows = torch.cat([_best_and_spread(latest, number, share) for number in numbers])
        return latest._rows(rows)

    def check_reward(self, reward: str, source: str) -> None:
        """Check that the rewards are those of the reward with this identity.

        Raises:
            InputError: They are not.
        """
        if self.reward != reward:
            raise InputError(
                f"surrogate must be of the same reward; {source} has {one_line(self.reward, 200)}, this run "
                f"{one_line(reward, 200)}. Name another file for this reward."
            )

    def check_features(self, names: tuple[str, ...], sizes: tuple[int, ...]) -> None:
        """Check that the features are those of families with these names and sizes.

        Raises:
            InputError: They are not.
        """
        if (self.names, self.sizes) != (names, sizes):
            own, given = (
                ", ".join(f"{name} ({size})" for name, size in zip(*pair, strict=True))
                for pair in ((names, sizes), (self.names, self.sizes))
            )
            raise InputError(
                f"surrogate must have the features of this run, {one_line(own, 200)}; got {one_line(given, 200)}. Name "
                "another file for these features."
            )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content."""
        digest = hashlib.sha256(_described(self).encode())
        for name in _TENSORS:
            digest.update(getattr(self, name).contiguous().numpy().tobytes())
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Write the rows to a file, whole or not at all.

        Raises:
            StorageError: The file could not be written; an older one is unchanged.
        """
        from safetensors.torch import save_file

        tensors = {name: getattr(self, name).contiguous().clone() for name in _TENSORS}
        write_whole(path, lambda unfinished: save_file(tensors, unfinished, {_METADATA: _described(self)}))

    @classmethod
    def read(cls, path: Path) -> "Knowledge":
        """Read rows that `write` wrote.

        Raises:
            InputError: The file cannot be read, or holds something else.
        """
        from safetensors import SafetensorError, safe_open

        try:
            size = path.stat().st_size
            if not path.is_file() or size > _BYTES:
                raise ValueError(f"it is no file, or larger than {_BYTES // 2**20} MiB")
            with safe_open(path, "pt") as file:
                described = parse_json((file.metadata() or {})[_METADATA])
                found = cls(*(file.get_tensor(name) for name in _TENSORS), **_fields(described))
            found._check()
        except (OSError, SafetensorError, LookupError, TypeError, ValueError, RecursionError) as error:
            place = one_line(str(path), 200)
            reason = one_line(f"{type(error).__name__}: {error}", 200)
            raise InputError(
                f"surrogate must be a file that a run of the surrogate wrote; got {place} ({reason}). Name another, or "
                "remove it."
            ) from error
        return found

    @property
    def _most(self) -> int:
        """Largest number of rows, so that a file stays half as large as one may be that is read."""
        return max(1, min(ROWS, _BYTES // (8 * max(1, self.features.shape[1]))))

    def _of_prompts(self, numbers: list[int]) -> "Knowledge":
        """Return the rows of some prompts, in ascending order."""
        renumbered = torch.full((len(self.prompts) + 1,), -1, dtype=torch.long)
        renumbered[numbers] = torch.arange(len(numbers))
        kept = self._rows((renumbered[self.prompt_of] >= 0).nonzero()[:, 0])
        prompts = tuple(self.prompts[number] for number in numbers)
        return replace(kept, prompt_of=renumbered[kept.prompt_of], prompts=prompts)

    def _rows(self, rows: Tensor) -> "Knowledge":
        return replace(self, **{name: getattr(self, name)[rows] for name in _TENSORS})

    def _check(self) -> None:
        """Check what was read.

        Raises:
            ValueError: Something does not fit together.
        """
        n, m = self.rewards.numel(), sum(self.sizes)
        dtypes = (self.features.dtype, self.rewards.dtype, self.prompt_of.dtype)
        if self.features.shape != (n, m) or self.rewards.shape != (n,) or self.prompt_of.shape != (n,):
            raise ValueError(f"its tensors do not fit {n} rows of {m} features")
        if dtypes != (torch.float32, torch.float32, torch.int64):
            raise ValueError("its tensors have other types of numbers")
        if not 0 < n <= ROWS or min(self.sizes) < 1 or len(self.sizes) != len(self.names):
            raise ValueError(f"it must have 1 to {ROWS} rows, and a size for each family; it has {n} rows")
        if not bool(self.features.isfinite().all()) or not bool(self.rewards.isfinite().all()):
            raise ValueError("it holds numbers that are not finite")
        if int(self.prompt_of.min()) < 0 or int(self.prompt_of.max()) >= len(self.prompts):
            raise ValueError("its rows name prompts that it does not have")


@runtime_checkable
class Transfers(Protocol):
    """A strategy that can start from what was learned on earlier prompts.

    It is no part of its state: a fresh instance is given the same before `load_state_dict`.
    """

    @property
    def learned(self) -> Learned | None:
        """What this run learned, without what it started from; None where that cannot be used by others."""
        ...

    def start_from(self, knowledge: Knowledge) -> None:
        """Take what was learned on earlier prompts, before the first `ask`.

        Raises:
            InputError: Its features are others.
        """
        ...


def _best_and_spread(knowledge: Knowledge, number: int, share: int) -> Tensor:
    """Return the rows of a prompt that are kept, at most `share`, in order."""
    rows = (knowledge.prompt_of == number).nonzero()[:, 0]
    if len(rows) <= share:
        return rows
    best = knowledge.rewards[rows].argsort(descending=True, stable=True)[: (share + 1) // 2]
    kept = torch.zeros(len(rows), dtype=torch.bool)
    kept[best] = True
    others = rows[~kept]
    spread = others[torch.linspace(0, len(others) - 1, share - len(best)).round().long()]
    return torch.cat([rows[kept], spread]).sort().values


def _described(knowledge: Knowledge) -> str:
    fields = {name: getattr(knowledge, name) for name in ("prompts", "names", "sizes", "reward")}
    return json.dumps(fields)


def _fields(described: Any) -> dict[str, Any]:
    """Check the part of a file that is text.

    Raises:
        ValueError: It has another form.
    """
    lists = {name: tuple(described[name]) for name in ("prompts", "names", "sizes")}
    texts = (*lists["prompts"], *lists["names"], described["reward"])
    if not all(isinstance(one, str) for one in texts) or not all(type(one) is int for one in lists["sizes"]):
        raise ValueError("its names must be texts, and its sizes whole numbers")
    return {**lists, "reward": described["reward"]}
