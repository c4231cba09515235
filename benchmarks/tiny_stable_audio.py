"""What tiny-stable-audio can do: does it play what a prompt asks for, and do its knobs matter?

    python benchmarks/tiny_stable_audio.py [--quick] [--out FILE] [--plot FILE]

- autoencoder_agreement: share of fresh teacher clips whose family the held-out judge names alike
  before and after the autoencoder.
- prompt_class_accuracy: share of clips named as the family their prompt asks for; prompts in
  wordings that training never used, at the recommended setting.
- tempo_beats_decoys: share of drum prompts whose tempo fits better than ten unrelated ones.
- steps_curve, cfg_curve: prompt_class_accuracy over steps and cfg, the rest as recommended.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import Benchmark
from judge import Judge, beats_decoys, teacher_clips
from rich.progress import track

from audioforge.data.brief import Brief
from audioforge.data.families import FAMILIES, in_category
from audioforge.data.wording import caption
from audioforge.generation.registry import embedded_folder, load_backend
from audioforge.generation.request import Clip, GenerationRequest
from audioforge.generation.tiny.clips import SECONDS

MODEL = "tiny-stable-audio"
STEPS = (1, 2, 4, 8, 16, 32)
CFG = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)


def prompts(per_family: int) -> list[tuple[str, str]]:
    """Return (family, prompt) pairs in held-out wordings, with and without a tempo."""
    rng = np.random.default_rng(5)
    asked = []
    for family in FAMILIES.values():
        for i in range(per_family):
            bpm = float(rng.integers(*family.bpm)) if family.bpm and i % 2 == 0 else None
            brief = Brief(family.category, family.name, bpm=bpm)
            asked.append((family.name, caption(brief, rng, held_out=True)))
    return asked


def generate(backend: Any, texts: list[str], **settings: Any) -> list[np.ndarray]:
    """Make a clip per text; seeds are the positions."""
    told = {**vars(backend.capabilities.recommended), **settings}
    made = backend.generate(
        [GenerationRequest(t, SECONDS, seed=i, **told) for i, t in enumerate(texts)]
    )
    return [clip.audio.samples[0] for clip in made if isinstance(clip, Clip)]


def reconstruct(backend: Any, waves: list[np.ndarray]) -> list[np.ndarray]:
    """Send waves through the autoencoder, at the mean of its posterior."""
    autoencoder, made = backend.model.pretransform.model, []
    with torch.no_grad():
        for batch in torch.from_numpy(np.stack(waves))[:, None].split(16):
            mean, _ = autoencoder.encode(batch, skip_bottleneck=True).chunk(2, dim=1)
            made += list(autoencoder.decode(mean)[:, 0].numpy())
    return made


def tempo_share(backend: Any, count: int) -> float:
    """Ask for drums at random tempi and see whose tempo can be heard."""
    rng, families = np.random.default_rng(6), in_category("drums")
    tempi = [float(rng.integers(75, 172)) for _ in range(count)]
    chosen = [families[i % len(families)] for i in range(count)]
    texts = [
        caption(Brief("drums", f.name, bpm=b), rng, held_out=False)
        for f, b in zip(chosen, tempi, strict=True)
    ]
    waves = generate(backend, texts)
    return float(np.mean([beats_decoys(w, b, rng) for w, b in zip(waves, tempi, strict=True)]))


def plot(numbers: dict[str, Any], path: Path) -> None:
    """Draw the two curves."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
    for axis, name, label in zip(
        axes, ("steps_curve", "cfg_curve"), ("steps", "cfg scale"), strict=True
    ):
        curve = numbers[name]
        axis.plot([float(k) for k in curve], list(curve.values()), marker="o", color="#2b6cb0")
        axis.axhline(numbers["chance"], color="#888", linestyle=":", label="chance")
        axis.set(xlabel=label, ylim=(0, 1))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_xscale("log", base=2)
    axes[0].set_xticks(list(STEPS), [str(s) for s in STEPS])
    axes[0].set_ylabel("prompt class accuracy")
    axes[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Measure and print."""
    benchmark = Benchmark(__doc__)
    benchmark.parser.add_argument("--plot", type=Path, help="draw the curves to this picture")
    options = benchmark.options()
    small = options.quick
    backend = load_backend(MODEL, "cpu")
    judge = Judge(300 if small else 1_200)
    waves, _ = teacher_clips(78, 52 if small else 260)
    agreement = np.mean(judge.name(waves) == judge.name(reconstruct(backend, waves)))
    asked = prompts(1 if small else 2)
    families, texts = np.array([f for f, _ in asked]), [t for _, t in asked]

    def accuracy(**settings: Any) -> float:
        return float(np.mean(judge.name(generate(backend, texts, **settings)) == families))

    steps = STEPS[:4] if small else STEPS
    cfg = CFG[::3] if small else CFG
    numbers = {
        "autoencoder_agreement": float(agreement),
        "prompt_class_accuracy": accuracy(),
        "prompts": len(texts),
        "chance": 1 / len(FAMILIES),
        "tempo_beats_decoys": tempo_share(backend, 14 if small else 70),
        "steps_curve": {str(n): accuracy(steps=n) for n in track(steps, "steps")},
        "cfg_curve": {f"{c:g}": accuracy(cfg_scale=c) for c in track(cfg, "cfg")},
        "model_mb": sum(p.stat().st_size for p in embedded_folder(MODEL).rglob("*") if p.is_file())
        / 1e6,
        "recommended": vars(backend.capabilities.recommended),
    }
    if options.plot:
        plot(numbers, options.plot)
    benchmark.finish(numbers)


if __name__ == "__main__":
    main()
