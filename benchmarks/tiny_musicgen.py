"""What tiny-musicgen can do: does it play the pitch and the tempo that a prompt asks for?

    python benchmarks/tiny_musicgen.py [--quick] [--out FILE]

- pitch_class_accuracy: share of clips in which the asked note, interval or chord is heard at the
  asked pitch class: of all twelve roots, the asked one puts most chroma on its notes. Prompts in
  wordings that training never used. The ear is librosa's constant-Q chroma, its mean over time; no
  reward uses it. Chance is a little over 1/12: an augmented chord has three roots.
- pitch_class_by_kind: the same, for notes, intervals and chords.
- tempo_beats_decoys: share of drum prompts whose tempo fits better than ten unrelated ones, as in
  tiny_stable_audio.py; drums are those it is taught, techno and house.
- teacher, codec: the same measures on teacher clips, and on teacher clips sent through the codec:
  what this ear, and this codec, allow at most.
- cfg_curve: pitch_class_accuracy and tempo_beats_decoys over cfg scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import librosa
import numpy as np
import torch
from _common import Benchmark
from judge import RATE, beats_decoys

from audioforge.generation.registry import embedded_folder, load_backend
from audioforge.generation.request import Clip, GenerationRequest
from audioforge.generation.tiny.musicgen_clips import (
    LOOPS,
    SECONDS,
    Question,
    draw,
    render_question,
    semitones,
    words_for,
)

MODEL = "tiny-musicgen"
SEED = 4_077
"""Of the questions; the model is trained on another seed."""
CFG = (1.0, 2.0, 4.0)
TONAL = ("note", "interval", "chord")


def questions(kinds: Sequence[str], count: int) -> list[Question]:
    """Draw questions of these kinds, equally many of each."""
    wanted = dict.fromkeys(kinds, count // len(kinds))
    chosen: list[Question] = []
    index = 0
    while any(wanted.values()):
        question = draw(SEED, index)
        index += 1
        taught = question.kind in TONAL or question.voice in LOOPS
        if wanted.get(question.kind) and taught:
            wanted[question.kind] -= 1
            chosen.append(question)
    return chosen


def shape_of(question: Question, root: int) -> frozenset[int]:
    """Return the pitch classes of a question's notes, counted from a root."""
    return frozenset((root + step) % 12 for step in semitones(question))


def plays_asked(wave: np.ndarray, question: Question) -> bool:
    """Say whether of all twelve roots the asked one explains the clip's chroma best."""
    chroma = librosa.feature.chroma_cqt(
        y=wave, sr=RATE, tuning=0.0, fmin=float(librosa.note_to_hz("C2")), n_octaves=6
    ).mean(1)
    fit = [chroma[list(shape_of(question, root))].sum() for root in range(12)]
    heard, asked = (shape_of(question, r) for r in (int(np.argmax(fit)), question.root or 0))
    return heard == asked


def chance(question: Question) -> float:
    """Return how probable it is that a random root has the asked notes."""
    asked = shape_of(question, question.root or 0)
    return float(np.mean([shape_of(question, root) == asked for root in range(12)]))


def generate(backend: Any, asked: list[Question], cfg_scale: float) -> list[np.ndarray]:
    """Make a clip per question, in held-out wordings; seeds are the positions."""
    recommended = vars(backend.capabilities.recommended) | {"cfg_scale": cfg_scale}
    requests = [
        GenerationRequest(
            words_for(q, np.random.default_rng([SEED, i]), held_out=True),
            SECONDS,
            seed=i,
            **recommended,
        )
        for i, q in enumerate(asked)
    ]
    made = [c for c in backend.generate(requests) if isinstance(c, Clip)]
    if len(made) < len(asked):
        raise SystemExit(f"{len(asked) - len(made)} of {len(asked)} clips failed")
    return [clip.audio.samples[0] for clip in made]


def teacher(asked: list[Question]) -> list[np.ndarray]:
    """Render the questions."""
    return [
        render_question(q, SEED * 1_000 + i).astype(np.float32) / 32_767
        for i, q in enumerate(asked)
    ]


def through_codec(backend: Any, waves: list[np.ndarray]) -> list[np.ndarray]:
    """Encode to tokens and decode again."""
    codec, made = backend.model.audio_encoder, []
    with torch.no_grad():
        for batch in torch.from_numpy(np.stack(waves))[:, None].split(16):
            codes = codec.encode(batch).audio_codes
            made += list(codec.decode(codes, [None]).audio_values[:, 0].numpy())
    return made


def pitch_right(waves: list[np.ndarray], asked: list[Question]) -> dict[str, float]:
    """Return the share of right pitch classes, by kind."""
    right = [plays_asked(w, q) for w, q in zip(waves, asked, strict=True)]
    kinds = np.array([q.kind for q in asked])
    return {kind: float(np.array(right)[kinds == kind].mean()) for kind in TONAL}


def tempo_right(waves: list[np.ndarray], asked: list[Question]) -> float:
    """Return the share of clips whose asked tempo beats ten decoys."""
    rng = np.random.default_rng(6)
    return float(
        np.mean(
            [beats_decoys(w, float(q.bpm or 0), rng) for w, q in zip(waves, asked, strict=True)]
        )
    )


def both(waves: list[list[np.ndarray]], asked: list[list[Question]]) -> dict[str, float]:
    """Return pitch and tempo of two sets of clips: tonal ones, and drums."""
    return {
        "pitch_class_accuracy": float(np.mean(list(pitch_right(waves[0], asked[0]).values()))),
        "tempo_beats_decoys": tempo_right(waves[1], asked[1]),
    }


def main() -> None:
    """Measure and print."""
    benchmark = Benchmark(__doc__)
    small = benchmark.options().quick
    backend = load_backend(MODEL, "cpu")
    asked = [questions(TONAL, 12 if small else 90), questions(["drums"], 10 if small else 80)]
    real = [teacher(q) for q in asked]
    cfg = backend.capabilities.recommended.cfg_scale
    made = [generate(backend, q, cfg) for q in asked]
    by_kind = pitch_right(made[0], asked[0])
    curve = {f"{cfg:g}": both(made, asked)}
    for other in () if small else (c for c in CFG if c != cfg):
        curve[f"{other:g}"] = both([generate(backend, q, other) for q in asked], asked)
    benchmark.finish(
        {
            **curve[f"{cfg:g}"],
            "pitch_class_by_kind": by_kind,
            "chance": {
                "pitch_class_accuracy": float(np.mean([chance(q) for q in asked[0]])),
                "tempo_beats_decoys": 1 / 11,
            },
            "prompts": [len(q) for q in asked],
            "teacher": both(real, asked),
            "codec": both([through_codec(backend, waves) for waves in real], asked),
            "cfg_curve": curve,
            "model_mb": sum(
                p.stat().st_size for p in embedded_folder(MODEL).rglob("*") if p.is_file()
            )
            / 1e6,
            "recommended": vars(backend.capabilities.recommended),
        }
    )


if __name__ == "__main__":
    main()
