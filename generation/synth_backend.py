"""The teacher as a backend: reads the prompt by rule and renders it.

Needs no weights and no torch. Useful for tests, for a first look, and as an upper bound on what a
prompt can ask for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from audioforge.data.brief import Brief
from audioforge.data.wording import read_text
from audioforge.generation.backend import Capabilities, GenerationDefaults
from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.generation.synth import SAMPLE_RATE, VERSION, render


class SynthBackend:
    """Renders what `data.wording.read_text` finds in a prompt; steps and cfg do nothing."""

    weights_sha256 = VERSION
    capabilities = Capabilities(
        model="synth",
        sample_rate=SAMPLE_RATE,
        channels=2,
        max_seconds=60.0,
        steps=(1, 1),
        cfg_scale=(1.0, 1.0),
        samplers=("none",),
        negative_prompt=False,
        recommended=GenerationDefaults(steps=1, cfg_scale=1.0, sampler="none"),
        licence="MIT",
        note="A rule-based synthesiser: only the prompt's words, the length and the seed matter.",
    )

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Clip | Failure]:
        """Render each request; one that cannot be rendered becomes a Failure."""
        return [self._one(request) for request in requests]

    def _one(self, request: GenerationRequest) -> Clip | Failure:
        if request.seconds > self.capabilities.max_seconds:
            limit = self.capabilities.max_seconds
            return Failure(
                request, "invalid", f"seconds must be at most {limit:g}, got {request.seconds:g}"
            )
        started = time.perf_counter()
        fields: dict[str, Any] = {"category": "instruments", **read_text(request.prompt).fields}
        fields["seconds"] = request.seconds
        brief = Brief(**fields)
        return Clip(request, render(brief, request.seed), time.perf_counter() - started)
