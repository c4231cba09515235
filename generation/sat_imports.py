"""Import stable-audio-tools quietly, where torchaudio, torchvision or k-diffusion are broken.

stable-audio-tools asks for the *names* of torchaudio and torchvision on import and k-diffusion's
package drags in a dozen libraries, but inference uses three small modules of it.
`stable_audio_tools()` puts stand-ins in place for the time of the import and removes them again, so
that no other library ever sees a fake torchaudio. With a working trio it only silences the prints.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import io
import logging
import sys
import types
import warnings
from collections.abc import Iterator
from functools import cache

INSTALL = "pip install --no-deps -r requirements-nodeps.txt"


@cache
def stable_audio_tools() -> types.SimpleNamespace:
    """Return the parts of stable-audio-tools that AudioForge uses.

    Returns:
        A namespace with `create_model_from_config`, `generate_diffusion_cond`,
        `generate_diffusion_cond_inpaint` and the modules `autoencoders`, `conditioners`.

    Raises:
        ImportError: not installed; the message names the command.
    """
    if importlib.util.find_spec("stable_audio_tools") is None:
        raise ImportError(f"stable-audio-tools is not installed: {INSTALL}")
    import transformers  # noqa: F401  (must look for torchaudio before the stand-in exists)

    with _stand_ins(), quiet():
        get = importlib.import_module
        inference = get("stable_audio_tools.inference.generation")
        parts = types.SimpleNamespace(
            create_model_from_config=get(
                "stable_audio_tools.models.factory"
            ).create_model_from_config,
            generate_diffusion_cond=inference.generate_diffusion_cond,
            generate_diffusion_cond_inpaint=inference.generate_diffusion_cond_inpaint,
            autoencoders=get("stable_audio_tools.models.autoencoders"),
            conditioners=get("stable_audio_tools.models.conditioners"),
        )
        for name in (
            "diffusion",
            "pretransforms",
            "bottleneck",
            "dit",
            "transformer",
            "utils",
            "inpainting",
            "wavelets",
        ):
            get(f"stable_audio_tools.models.{name}")
    return parts


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep prints, warnings and log lines of third-party code off stdout and stderr."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(previous)


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """Provide torchaudio and torchvision by name if they do not import, and a bare k_diffusion."""
    fakes: dict[str, types.ModuleType] = {}
    if not can_import("torchaudio"):
        transforms = bare_module("torchaudio.transforms", Resample=resampler())
        fakes |= {
            "torchaudio": bare_module("torchaudio", transforms=transforms),
            "torchaudio.transforms": transforms,
        }
    if not can_import("torchvision"):
        functional = bare_module("torchvision.transforms.functional")
        transforms = bare_module("torchvision.transforms", functional=functional)
        fakes |= {
            "torchvision": bare_module("torchvision", transforms=transforms),
            "torchvision.transforms": transforms,
            "torchvision.transforms.functional": functional,
        }
    sys.modules.update(fakes)
    if not can_import("k_diffusion"):
        _bare_k_diffusion()
    try:
        yield
    finally:
        for name in fakes:
            sys.modules.pop(name, None)


def _bare_k_diffusion() -> None:
    """Install the k_diffusion package object without running its __init__."""
    spec = importlib.util.find_spec("k_diffusion")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError(f"k-diffusion is not installed: {INSTALL}")
    package = bare_module("k_diffusion")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["k_diffusion"] = package
    for name in ("utils", "sampling", "external"):
        setattr(package, name, importlib.import_module(f"k_diffusion.{name}"))


def can_import(name: str) -> bool:
    """Say whether a package truly imports; forget the half-imported rest if it does not."""
    try:
        with quiet():
            importlib.import_module(name)
    except (ImportError, OSError, RuntimeError, AttributeError):
        for key in [k for k in sys.modules if k == name or k.startswith(f"{name}.")]:
            del sys.modules[key]
        return False
    return True


def bare_module(name: str, **attributes: object) -> types.ModuleType:
    """Return a module of this name that holds nothing but these attributes."""
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__path__ = []
    module.__dict__.update(attributes)
    return module


def resampler() -> type:
    """Return a class with the call of torchaudio.transforms.Resample, over soxr."""
    import soxr
    import torch

    class Resample(torch.nn.Module):
        """Resample [..., time] between two rates."""

        def __init__(self, orig_freq: int, new_freq: int) -> None:
            super().__init__()
            self.rates = orig_freq, new_freq

        def forward(self, audio: torch.Tensor) -> torch.Tensor:
            flat = audio.reshape(-1, audio.shape[-1]).cpu().numpy()
            made = soxr.resample(flat.T, *self.rates).T
            return torch.from_numpy(made.copy()).reshape(*audio.shape[:-1], -1).to(audio)

    return Resample
