"""Batched features: the transforms of many clips at once on a torch device.

Clips of one rate, length and channel count go through K-weighting, both Fourier transforms and
what is folded from them together, in float32 without TF32. The results are laid into each clip's
`Features` as numpy arrays, so that every reward reads them unchanged; what is not laid there, the
`Features` still measures itself. Definitions (windows, hops, weights, gates) are those of `utils`.

Clips that are empty, under 0.5 s, near silence, or hold samples that are not numbers are left to
the clip by clip path whole.

Range:   the numbers of `Features`, to 1e-4 of each array's largest value, 0.01 dB of flatness and
         0.01 LU. Not the same to the bit, also not between batches of different size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import signal

from audioforge.utils.audio_processing import Audio
from audioforge.utils.loudness import block_hop, gated_lufs, k_weighting
from audioforge.utils.spectral_analysis import (
    MAX_RATE_HZ,
    MAX_SECONDS,
    SILENCE_LUFS,
    Features,
    analysis_window,
    fast_length,
    frame_layout,
    long_layout,
    mid_of,
    target_gain,
)
from audioforge.utils.spectral_shapes import (
    HIGH_HZ,
    LOW_HZ,
    NEAR,
    bin_hz,
    bins_between,
    chroma_weights,
    flatness_db,
    line_share,
    mel_weights,
)

if TYPE_CHECKING:
    import torch

BATCH_BYTES = 1 << 29
"""Windowed frames of a batch, 64 clips of 10 s at 44.1 kHz; at the peak five times that is held."""
LEAST_SECONDS = 0.5
_TAIL_SECONDS = 0.25
"""After this the slower stage of the K-weighting has decayed by 500 dB."""


def batched_features(audios: Sequence[Audio], device: str) -> list[Features]:
    """Return the features of clips, in order, measured in batches; all are held at once.

    Args:
        audios: any clips, of mixed rates, lengths and channels.
        device: a torch device: "cuda", "cuda:1", or "cpu".

    Raises:
        ValueError: the device is not there.
    """
    found = dict(measured_in_batches(audios, device))
    return [found[index] for index in range(len(audios))]


def measured_in_batches(audios: Sequence[Audio], device: str) -> Iterator[tuple[int, Features]]:
    """Yield (index, features) batch by batch, not in order; of each batch nothing is kept.

    Raises:
        ValueError: the device is not there.
    """
    target = torch_device(device)
    for indices in _batches(audios):
        features = [Features(audios[index]) for index in indices]
        usual = [f for f in features if f.finite_share == 1 and f.seconds >= LEAST_SECONDS]
        if usual:
            _measure(usual, target)
        yield from zip(indices, features, strict=True)


def torch_device(name: str) -> torch.device:
    """Return the torch device of a name.

    Raises:
        ValueError: torch is not installed, the name is not one, or the device is not there.
    """
    try:
        import torch
    except ImportError as error:
        raise ValueError(f"device {name!r} needs torch: install it, or use 'cpu'") from error
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device must be cpu, cuda or cuda:N, got {name!r}") from error
    count = {"cpu": 1, "cuda": torch.cuda.device_count()}.get(device.type, 0)
    if (device.index or 0) >= count:
        raise ValueError(
            f"device {name!r} is not there: torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices; use 'cpu'"
        )
    return device


def _batches(audios: Sequence[Audio]) -> list[list[int]]:
    """Group the indices of clips of one rate and shape, at most BATCH_BYTES of frames each."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for index, audio in enumerate(audios):
        alike.setdefault((audio.sample_rate, *audio.samples.shape), []).append(index)
    batches = []
    for (rate, _, samples), indices in alike.items():
        size, hop = frame_layout(min(rate, MAX_RATE_HZ))
        frames = min(samples / rate, MAX_SECONDS) * min(rate, MAX_RATE_HZ) / hop + 1
        most = max(int(BATCH_BYTES / (4 * frames * size)), 1)
        batches += [indices[i : i + most] for i in range(0, len(indices), most)]
    return batches


def _measure(features: Sequence[Features], device: torch.device) -> None:
    """Lay the measurements of clips of one shape into their features."""
    import torch

    rate, precision = features[0].rate, torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode():
            centred = torch.from_numpy(np.stack([f.centred for f in features])).to(device)
            energies = _hop_energies(centred, rate)
            loudness = [gated_lufs(*energy) for energy in energies]
            heard = [i for i, lufs in enumerate(loudness) if lufs >= SILENCE_LUFS]
            if heard:
                gains = torch.from_numpy(np.array([target_gain(loudness[i]) for i in heard]))
                sound = centred[heard] * gains.to(device)[:, None, None]
                _lay([features[i] for i in heard], "hop_energy", [energies[i] for i in heard])
                for name, values in _measurements(sound, rate):
                    _lay([features[i] for i in heard], name, values.cpu().numpy())
    finally:
        torch.set_float32_matmul_precision(precision)


def _lay(features: Sequence[Features], name: str, values: Iterable[Any]) -> None:
    """Fill a cached property of each clip, with the type that `Features` gives it."""
    for f, value in zip(features, values, strict=True):
        if name == "spectrum":
            value = value.astype(np.float64) / len(f.power)
        f.__dict__[name] = value.astype(np.float64) if name == "frame_flatness_db" else value


def _hop_energies(centred: torch.Tensor, rate: int) -> list[tuple[np.ndarray, int]]:
    """Return `hop_energy` of clips [B, channels, time], filtered by multiplying spectra."""
    import torch

    count, channels, samples = centred.shape
    size, hop = fast_length(samples + _TAIL_SECONDS * rate), block_hop(samples, rate)
    response = torch.from_numpy(_k_response(rate, size)).to(centred.device)
    weighted = torch.fft.irfft(torch.fft.rfft(centred, size) * response, size)
    pieces = weighted[..., : samples // hop * hop].reshape(count, channels, -1, hop)
    energy = pieces.square().sum((1, 3)).cpu().numpy().astype(np.float64)
    return [(row, hop) for row in energy]


@lru_cache(maxsize=4)
def _k_response(rate: int, size: int) -> np.ndarray:
    """Return the frequency response of the K-weighting, complex64 [size // 2 + 1]."""
    turns: Any = 2 * np.pi * np.arange(size // 2 + 1) / size
    return np.asarray(signal.freqz_sos(k_weighting(rate), turns)[1], np.complex64)


def _measurements(sound: torch.Tensor, rate: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield names and values of `Features`' properties from sound [B, channels, time]."""
    import torch

    mid = mid_of(sound.transpose(0, 1))
    yield from (("sound", sound), ("mid", mid))
    power = _power(mid, *frame_layout(rate))
    total = power.sum(-1)
    yield from (("power", power), ("frame_power", total), ("spectrum", power.sum(1)))
    yield "mel", _folded(power, mel_weights(rate, power.shape[-1]))
    inside = power[..., bins_between(bin_hz(rate, power.shape[-1]), LOW_HZ, HIGH_HZ)]
    yield "frame_flatness_db", flatness_db(inside, torch)
    near = torch.from_numpy(NEAR).to(power.device)
    yield "line_share", line_share(power, total, near, torch.take_along_dim)
    del power, inside, total
    long_power = _power(mid, *long_layout(rate))
    yield "long_power", long_power
    yield "chroma", _folded(long_power, chroma_weights(rate, long_power.shape[-1]), root=True)


def _folded(power: torch.Tensor, weights: np.ndarray, *, root: bool = False) -> torch.Tensor:
    """Return power, or its root, times weights [its first bins, K]."""
    import torch

    used = power[..., : len(weights)]
    return (used.sqrt() if root else used) @ torch.from_numpy(weights).to(power.device)


def _power(mid: torch.Tensor, size: int, hop: int) -> torch.Tensor:
    """Return what `stft_power` gives, [B, frames, size // 2 + 1], for mid [B, time]."""
    import torch

    padded = torch.nn.functional.pad(mid, (size // 2 + 1,) * 2)
    window = torch.from_numpy(analysis_window(size)).to(mid.device)
    found = torch.fft.rfft(padded.unfold(-1, size, hop) * window)
    return found.real.square().add_(found.imag.square()).mul_(2)
