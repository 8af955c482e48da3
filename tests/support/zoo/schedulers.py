"""Every scheduler of the table, built for a denoiser that predicts noise, v or a flow."""

from collections.abc import Callable
from typing import Any

_BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def _plain(name: str, **options: Any) -> Callable[[str], Any]:
    def build(prediction: str) -> Any:
        import diffusers

        return getattr(diffusers, name)(**_BETAS, prediction_type=prediction, **options)

    return build


def _flow(name: str, **options: Any) -> Callable[[str], Any]:
    def build(_prediction: str) -> Any:
        import diffusers

        return getattr(diffusers, name)(**options)

    return build


SCHEDULERS: dict[str, Callable[[str], Any]] = {
    "DDIM": _plain("DDIMScheduler", clip_sample=False, steps_offset=1),
    "DDIM eta=0.5": _plain("DDIMScheduler", clip_sample=False, steps_offset=1),
    "DDIM eta=1": _plain("DDIMScheduler", clip_sample=False, steps_offset=1),
    "DDPM": _plain("DDPMScheduler", clip_sample=False),
    "Euler": _plain("EulerDiscreteScheduler"),
    "Euler ancestral": _plain("EulerAncestralDiscreteScheduler"),
    "DPM++": _plain("DPMSolverMultistepScheduler", algorithm_type="dpmsolver++"),
    "DPM++ SDE": _plain("DPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++"),
    "DPM++ flow": _flow(
        "DPMSolverMultistepScheduler", use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0
    ),
    "LCM": _plain("LCMScheduler", clip_sample=False),
    "TCD": _plain("TCDScheduler", clip_sample=False),
    "SCM": _flow("SCMScheduler"),
    "flow-match Euler": _flow("FlowMatchEulerDiscreteScheduler"),
    "flow-match Euler stochastic": _flow("FlowMatchEulerDiscreteScheduler", stochastic_sampling=True),
}
"""Name in the table -> builder, from what the denoiser predicts."""

ETA = {"DDIM": 0.0, "DDIM eta=0.5": 0.5, "DDIM eta=1": 1.0, "TCD": 0.3}
"""How much noise the schedulers put back that leave it to the pipeline's call."""
