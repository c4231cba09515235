"""Reference sets: each style set is measured once and told again by its sound, not by its object.

Of a set only what was measured is kept: a run over many targets does not hold their sounds.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from audioforge.reward_functions.style_consistency import ReferenceSet, reference_set
from audioforge.utils.audio_processing import Audio
from audioforge.utils.spectral_analysis import Features

MAX_SETS = 256
_sets: dict[tuple[str, ...], ReferenceSet | None] = {}
_measuring = threading.Lock()


def known_set(references: Sequence[Audio]) -> ReferenceSet | None:
    """Return what is known of a set; judges that want the same one at once measure it once.

    Args:
        references: the sounds; sets that differ in a single sample, or in order, are others.

    Returns:
        The set's measurements, None if nothing remains of it; see `style_consistency`.
    """
    key = tuple(audio.sha256 for audio in references)
    with _measuring:
        if key not in _sets:
            measured = reference_set([Features(audio) for audio in references])
            while len(_sets) >= MAX_SETS:
                del _sets[next(iter(_sets))]
            _sets[key] = measured
        return _sets[key]
