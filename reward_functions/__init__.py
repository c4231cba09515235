"""What is good: scores for any clip, alone or against a Brief.

score.py                      Score, CheckOutcome, RewardReport: how a judgement is told
combined_reward.py            CombinedReward: gates, then a weighted geometric mean
config.py                     RewardConfig: the weights
scoring.py                    score(): one clip from a path, an array or a tensor
folder.py                     score_files(): the rewards as a metric over many files; listing.py,
                              file_score.py (a row), lanes.py (workers), versions.py
comparison.py                 two sets of scored files; set_distances.py: MMD, Frechet, Vendi
gates.py                      what a clip must be before it is judged at all: cuts.py, realism.py,
                              sounding.py
audio_quality.py              damage (faults.py and the *_faults.py) and naturalness.py
technical_characteristics.py  length, loudness, dynamics, peaks, channels, loop seam
prompt_alignment.py           the brief as checks.py (tempo.py, tonality.py, families.py, kinds.py,
                              form_checks.py, element_checks.py); claims.py: how far each is trusted
style_consistency.py          distance to a set of references, nothing for copies (fingerprint.py);
                              reference_sets.py: each set is measured once
plugins.py                    learned judges, optional: CLAP, audiobox-aesthetics
creativity.py                 distance to the policy's recent clips
description.py                a clip as one vector; curves.py: measurements into [0, 1]
batched_features.py           the transforms of many clips at once on a torch device
calibrate.py, fit_*.py        commands that make calibration.json and the *.npz; kernel_model.py;
                              committed.py finds those files
one_thread.py                 linear algebra on small arrays in one thread
redteam.py                    adversarial inputs against any scorer: redteam_*.py
"""

from __future__ import annotations

from collections.abc import Callable

from audioforge.reward_functions import (
    audio_quality,
    creativity,
    prompt_alignment,
    style_consistency,
    technical_characteristics,
)
from audioforge.reward_functions.combined_reward import CombinedReward
from audioforge.reward_functions.config import RewardConfig
from audioforge.reward_functions.folder import score_files
from audioforge.reward_functions.listing import list_files
from audioforge.reward_functions.score import Score
from audioforge.reward_functions.scoring import score

Reward = Callable[..., Score]
"""Takes what its own file says, Features first (creativity: its vector), and returns a Score."""

REWARDS: dict[str, Reward] = {
    "audio_quality": audio_quality.score,
    "prompt_alignment": prompt_alignment.score,
    "style_consistency": style_consistency.score,
    "technical_characteristics": technical_characteristics.score,
    "creativity": creativity.score,
}

__all__ = [
    "REWARDS",
    "CombinedReward",
    "Reward",
    "RewardConfig",
    "list_files",
    "score",
    "score_files",
]
