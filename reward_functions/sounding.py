"""Sounding: the stretch of a clip between its first and its last sound.

Silence before and after is judged by the silence fault; what is said of texture must not change
with it.
"""

from __future__ import annotations

import numpy as np

from audioforge.utils.audio_processing import Audio
from audioforge.utils.spectral_analysis import Features

_FLOOR = 2e-4
"""Of the peak, 74 dB: what lies under it is silence."""
_LEAST_SECONDS = 0.03
"""Shorter silence at both ends together is left."""


def sounding(features: Features) -> Features:
    """Return the features of the sounding stretch; the same object where that is all of the clip.

    Args:
        features: a clip that is not silent.
    """
    return features.once(_sounding)


def _sounding(features: Features) -> Features:
    heard = np.flatnonzero(features.envelope > _FLOOR * features.peak)
    rate = features.audio.sample_rate
    if not heard.size:
        return features
    scale = rate / features.rate
    first, end = int(heard[0] * scale), int(np.ceil((heard[-1] + 1) * scale))
    if features.audio.samples.shape[1] - (end - first) < _LEAST_SECONDS * rate:
        return features
    return Features(Audio(features.audio.samples[:, first:end], rate))
