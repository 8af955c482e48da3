"""The training of the built-in model: `python -m zo_dno.scenes.train`."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from zo_dno.scenes import (
    LARGE_AUTOENCODER,
    LARGE_SIDE,
    WEIGHTS_FOLDER,
    autoencoder,
    classifier,
    data,
    denoiser,
    distil,
    enlarge,
    pipeline,
)
from zo_dno.scenes.judge import Judge
from zo_dno.scenes.loop import Plan

PLANS = {
    "autoencoder": Plan(steps=5000, batch=16, rate=1.5e-3),
    "enlarge": Plan(steps=1600, batch=4, rate=1.5e-3, decay=0.6, shards=1),
    "judge": Plan(steps=2000, batch=48, rate=2e-3, average=0.995, shards=1),
    "denoiser": Plan(steps=3600, batch=64, rate=1e-3, average=0.998),
    "distil": Plan(steps=700, batch=48, rate=3e-4, warmup=30, decay=0.6, average=0.99),
}
STAGES = tuple(PLANS)
PICTURES = 40_000
LARGE_PICTURES = 12_000
DISTILLED_PICTURES = 10_000  # the student needs latents to train at, but no new pictures


@dataclass(frozen=True)
class Training:
    """One training of the model, which computes once what each stage needs of the stages before.

    Attributes:
        work: Folder of pictures and checkpoints, from which training resumes.
        plans: Plan of each stage.
        pictures_count: Number of rendered training pictures.
        seed: Seed of the pictures.
    """

    work: Path
    plans: dict[str, Plan]
    pictures_count: int = PICTURES
    seed: int = 0

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def pictures(self) -> data.Pictures:
        return data.training_pictures(self.work, self.pictures_count, self.seed)

    @cached_property
    def autoencoder(self) -> Any:
        return autoencoder.fit(self.pictures, self.plans["autoencoder"], self.work, self.device)

    @cached_property
    def large(self) -> Any:
        """The autoencoder of pictures of twice the size."""
        pictures = data.training_pictures(self.work, min(LARGE_PICTURES, self.pictures_count), self.seed, LARGE_SIDE)
        return enlarge.fit(pictures, self.autoencoder, self.plans["enlarge"], self.work, self.device)

    @cached_property
    def judge(self) -> Judge:
        return classifier.fit(self.pictures, self.autoencoder, self.plans["judge"], self.work, self.device)

    @cached_property
    def teacher(self) -> denoiser.Denoiser:
        encoded = partial(denoiser.encode, self.pictures, self.autoencoder, self.device)
        return denoiser.fit(encoded, self.pictures.captions(), self.plans["denoiser"], self.work, self.device)

    @cached_property
    def student(self) -> denoiser.Denoiser:
        some = self.pictures.first(DISTILLED_PICTURES)
        latents = denoiser.encode(some, self.autoencoder, self.device)
        return distil.fit(self.teacher, latents, some.captions(), self.plans["distil"], self.work, self.device)

    def run(self, stage: str, out: Path) -> None:
        """Train one stage, after those that it needs, and write its result to `out`."""
        if stage == "judge":
            pipeline.save_judge(self.judge, out)
        elif stage == "denoiser":
            pipeline.save(self.autoencoder, self.teacher, out)
        elif stage == "distil":
            pipeline.save(self.autoencoder, self.student, out)
        elif stage == "enlarge":
            pipeline.save_autoencoder(self.large, out / LARGE_AUTOENCODER.name)
        else:
            _ = self.autoencoder


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the stages of the command line."""
    parser = argparse.ArgumentParser(prog="python -m zo_dno.scenes.train", description=__doc__)
    parser.add_argument(
        "--stage", choices=(*STAGES, "all"), default="all", help="stage to train, after those that it needs"
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS_FOLDER, help="folder of the weights")
    parser.add_argument(
        "--work", type=Path, default=Path(".training"), help="folder of pictures and checkpoints, to resume from"
    )
    parser.add_argument("--steps", type=int, help="number of steps of the one stage")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    plans = {stage: replace(plan, seed=options.seed) for stage, plan in PLANS.items()}
    if options.steps is not None:
        if options.stage == "all" or options.steps < 1:
            parser.error(
                f"--steps must be positive and go with one stage; got {options.steps}. Name it: --stage denoiser"
            )
        plans[options.stage] = replace(plans[options.stage], steps=options.steps)
    training = Training(options.work, plans, seed=options.seed)
    for stage in STAGES if options.stage == "all" else (options.stage,):
        training.run(stage, options.out)


if __name__ == "__main__":
    main()
