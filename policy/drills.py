"""Drills: texts of unrelated words, and answers that repeat them.

A lesson's answer can be guessed half-way without reading the target, so lessons alone teach reading
slowly. Nothing but copying predicts a drill: a few hundred steps of them and the model looks back.
"""

from __future__ import annotations

import json
import re
from functools import cache

import numpy as np

from audioforge.data.brief import Brief
from audioforge.data.families import FAMILIES
from audioforge.data.targets import curated
from audioforge.data.wording import TONE_WORDS
from audioforge.policy.sft_texts import Lesson, one_of

DRILL = "Repeat the target."
"""The system message of drills."""


def draw_drill(rng: np.random.Generator) -> Lesson:
    """Draw a text of unrelated words and numbers, and an answer that repeats it."""
    words = _drill_words()
    said = [
        str(rng.integers(60, 181)) if rng.random() < 0.2 else one_of(rng, words)
        for _ in range(int(rng.integers(3, 12)))
    ]
    text = " ".join(said)
    user = text[0].upper() + text[1:] if rng.random() < 0.3 else text
    return Lesson(f"Target: {user}", json.dumps({"prompt": text}), Brief("drums"))


@cache
def _drill_words() -> tuple[str, ...]:
    texts = [word for family in FAMILIES.values() for word in family.words]
    texts += [word for words in TONE_WORDS.values() for word in words]
    texts += [target.target_description.lower() for target in curated("train")]
    return tuple(sorted({word for text in texts for word in re.findall("[a-z]+", text)}))
