"""Import audiocraft quietly, where torchaudio, spacy or xformers are missing or do not import.

Text and continuation use three names of them: the rest is asked for on import only. What cannot
work without the real package says so when it is used. The stand-ins are taken away after the
import, so that no other library ever sees them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from functools import cache
from typing import Any

import torch

from audioforge.generation.sat_imports import bare_module, can_import, quiet, resampler

INSTALL = (
    "pip install flashy omegaconf hydra-core julius num2words av torchmetrics && "
    "pip install --no-deps audiocraft==1.3.0 xformers==0.0.35"
)
_TORCHAUDIO_USES = ("Spectrogram", "MelSpectrogram")


@cache
def audiocraft_musicgen() -> Any:
    """Return audiocraft's MusicGen class.

    Raises:
        ImportError: not installed; the message names the command.
    """
    if importlib.util.find_spec("audiocraft") is None:
        raise ImportError(f"audiocraft is not installed: {INSTALL}")
    import transformers  # noqa: F401  (must look for torchaudio before the stand-in exists)

    fakes = _fakes()
    sys.modules.update(fakes)
    try:
        with quiet():
            return importlib.import_module("audiocraft.models.musicgen").MusicGen
    finally:
        for name in fakes:
            sys.modules.pop(name, None)


def _fakes() -> dict[str, types.ModuleType]:
    fakes: dict[str, types.ModuleType] = {}
    if not can_import("torchaudio"):
        names = {name: _missing(f"torchaudio ({name})") for name in _TORCHAUDIO_USES}
        transforms = bare_module("torchaudio.transforms", Resample=resampler(), **names)
        functional = bare_module("torchaudio.functional")
        whole = bare_module("torchaudio", transforms=transforms, functional=functional)
        fakes |= {part.__name__: part for part in (whole, transforms, functional)}
    if not can_import("spacy"):
        fakes["spacy"] = bare_module("spacy", load=lambda language: _words)
    if not can_import("xformers.ops"):
        ops = bare_module("xformers.ops", unbind=torch.unbind)
        fakes |= {"xformers": bare_module("xformers", ops=ops), "xformers.ops": ops}
    return fakes


def _words(text: str) -> list[types.SimpleNamespace]:
    """Split at spaces; only the model "debug" asks spacy for it, published ones read with T5."""
    return [types.SimpleNamespace(text=w, lemma_=w, is_stop=False) for w in text.split()]


def _missing(package: str) -> type:
    """Return a class that says what is missing when it is made."""

    class Missing:
        def __init__(self, *_: object, **__: object) -> None:
            raise ImportError(f"this audiocraft model needs {package}: install it beside torch")

    return Missing
