"""Plug-ins: learned judges, off by default, each at most a fifth of the total.

A plug-in is named in the rewards file, `plugins: {clap: {source: HUB_ID_OR_FOLDER, weight: 0.2}}`,
and loaded when the first clip is judged. It joins the parts under its own name; where it cannot
judge it says unscored, and its share goes back to the parts.

clap        does the sound fit the words of the brief better than the words of other kinds of sound?
            (transformers' ClapModel; 2211.06687)
aesthetics  production quality as audiobox-aesthetics predicts it (2502.05139)

Neither is calibrated here, for no weights can be had without a network: their values are their own.
CLAP hardly hears order, numbers and negation (2310.08753), which the checks of the brief do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from audioforge.data.brief import Brief
from audioforge.data.families import CATEGORIES, FAMILIES
from audioforge.data.wording import CATEGORY_WORDS, TONE_WORDS
from audioforge.reward_functions.score import Score, unscored
from audioforge.utils.audio_processing import Audio, resample, to_mono

HIGHEST_SHARE = 0.2
"""Of the total, per plug-in: a learned judge alone is easily fooled (2211.06508)."""
_CLAP_RATE, _AESTHETICS_RATE = 48_000, 16_000
_WINDOW_SECONDS = 10

Plugin = Callable[[Audio, Brief | None], Score]


@dataclass(frozen=True)
class PluginSpec:
    """Where a plug-in's weights are, and its share of the total."""

    source: str
    """A hub id or a local folder; safetensors only."""
    weight: float = 0.1
    """Share of the total, in (0, 0.2]."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and 0 < self.weight <= HIGHEST_SHARE):
            raise ValueError(
                f"a plug-in's weight must be above 0 and at most {HIGHEST_SHARE}, got {self.weight}"
            )


def load_plugin(name: str, spec: PluginSpec) -> Plugin:
    """Load one plug-in.

    Raises:
        ValueError: an unknown name, or weights that cannot be had.
        ImportError: its package is not installed; the message names the command.
    """
    if name not in PLUGINS:
        raise ValueError(f"plug-in must be one of {sorted(PLUGINS)}, got {name!r}")
    try:
        return PLUGINS[name](spec.source)
    except OSError as error:
        first = str(error).strip().splitlines()[0]
        raise ValueError(f"plug-in {name}: cannot load {spec.source} ({first})") from error


class Clap:
    """Text-audio agreement: the chance that the brief's words fit better than another kind's."""

    def __init__(self, source: str) -> None:
        from transformers import ClapModel, ClapProcessor

        self._model = ClapModel.from_pretrained(source, use_safetensors=True).eval()
        self._processor: Any = ClapProcessor.from_pretrained(source)
        self._texts: dict[str, np.ndarray] = {}

    def __call__(self, audio: Audio, brief: Brief | None) -> Score:
        """Judge one clip; unscored without a brief."""
        if brief is None:
            return unscored("no brief to compare with")
        heard = self._hear(audio)
        asked = float(heard @ self._read(describe_brief(brief)))
        others = [float(heard @ self._read(words)) for words in other_kinds(brief)]
        scale = float(self._model.logit_scale_a.detach().exp())
        value = float(np.mean([_sigmoid(scale * (asked - other)) for other in others]))
        better = sum(asked > other for other in others)
        return Score(
            value,
            f"fits the brief's words better than {better} of {len(others)} other kinds",
            {"cosine": asked},
        )

    def _hear(self, audio: Audio) -> np.ndarray:
        """Embed the middle of a clip, unit norm: the extractor would crop a long clip at random."""
        import torch

        wave = to_mono(resample(audio, _CLAP_RATE)).samples[0]
        most = _WINDOW_SECONDS * _CLAP_RATE
        start = max(wave.size - most, 0) // 2
        given = self._processor(
            audio=wave[start : start + most], sampling_rate=_CLAP_RATE, return_tensors="pt"
        )
        with torch.no_grad():
            return _unit(self._model.get_audio_features(**given))

    def _read(self, words: str) -> np.ndarray:
        import torch

        if words not in self._texts:
            given = self._processor(text=[words], return_tensors="pt", padding=True)
            with torch.no_grad():
                self._texts[words] = _unit(self._model.get_text_features(**given))
        return self._texts[words]


class Aesthetics:
    """Production quality (PQ, 1 to 10) by audiobox-aesthetics, without its torchaudio front end."""

    def __init__(self, source: str) -> None:
        try:
            from audiobox_aesthetics.model.aes import (  # pyright: ignore[reportMissingImports]
                AesMultiOutput,
            )
        except ImportError as error:
            raise ImportError(
                "plug-in aesthetics needs: pip install --no-deps audiobox_aesthetics==0.0.4"
            ) from error
        self._model = AesMultiOutput.from_pretrained(source).eval()

    def __call__(self, audio: Audio, brief: Brief | None) -> Score:
        """Judge one clip in windows of 10 s, weighted by length; a last one below 1 s is left."""
        import torch

        wave = torch.from_numpy(to_mono(resample(audio, _AESTHETICS_RATE)).samples.copy())
        windows = wave.split(_WINDOW_SECONDS * _AESTHETICS_RATE, dim=1)
        windows = [w for w in windows if w.shape[1] >= _AESTHETICS_RATE] or windows[:1]
        transform = self._model.target_transform["PQ"]
        made, lengths = [], []
        for window in windows:
            with torch.no_grad():
                given = {
                    "wav": window[None],
                    "mask": torch.ones_like(window, dtype=torch.bool)[None],
                }
                made.append(float(self._model(given)["PQ"]))
            lengths.append(window.shape[1])
        quality = float(np.average(made, weights=lengths)) * transform["std"] + transform["mean"]
        value = min(max((quality - 1) / 9, 0.0), 1.0)
        return Score(value, f"production quality {quality:.1f} of 10", {"quality": quality})


PLUGINS: Mapping[str, Callable[[str], Plugin]] = {"clap": Clap, "aesthetics": Aesthetics}


def describe_brief(brief: Brief) -> str:
    """Say a brief in the plainest words: tone, kind of sound, tempo."""
    tones = [TONE_WORDS[pair][0] for pair in brief.asked().items() if pair in TONE_WORDS]
    kind = FAMILIES[brief.family].words[0] if brief.family else CATEGORY_WORDS[brief.category][0]
    tempo = [f"at {brief.bpm:.0f} bpm"] if brief.bpm else []
    return " ".join([*tones, kind, *tempo])


def other_kinds(brief: Brief) -> list[str]:
    """Name the kinds of sound that a brief does not ask for."""
    if brief.family is None:
        return [CATEGORY_WORDS[c][0] for c in CATEGORIES if c != brief.category]
    return [family.words[0] for name, family in FAMILIES.items() if name != brief.family]


def _unit(made: Any) -> np.ndarray:
    """Return the one embedding of a model's answer as a unit vector; transformers 4 and 5."""
    vector = getattr(made, "pooler_output", made)[0].float().numpy()
    return vector / (np.linalg.norm(vector) + 1e-9)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-min(max(x, -30.0), 30.0)))
