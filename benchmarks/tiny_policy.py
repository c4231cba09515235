"""What the embedded policy can do: whether its answers parse, how broad they are, what they copy.

    python benchmarks/tiny_policy.py [--quick] [--out FILE] [--model FOLDER]

Asks for targets of the eval split, curated and procedural, at temperature 1. `names_family` and
`names_tempo` are the shares of answers whose prompt says the asked family or tempo; the best policy
would have 1 in both, and this one is meant to have room below it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import Benchmark
from rich.progress import track

from audioforge.data.targets import Target, curated, sample
from audioforge.data.wording import read_text
from audioforge.policy.drawing import Question, Sampling
from audioforge.policy.embedded import EMBEDDED_FOLDER
from audioforge.policy.local_llm import LocalLLM
from audioforge.policy.sft_texts import CAPABILITIES
from audioforge.rollouts.action import AudioAction
from audioforge.rollouts.messages import messages_for
from audioforge.rollouts.parser import parse_action

STREAM = 20_251


def answer(llm: LocalLLM, targets: Sequence[Target], n: int, turns: int = 1) -> list[list[str]]:
    """Return n answers per target and turn, in order of the targets."""
    texts = []
    for index, target in enumerate(track(targets, f"{n * turns} answers to each target")):
        prompt = llm.encode_chat(messages_for(target, CAPABILITIES))
        seeds = range(index * turns, (index + 1) * turns)
        drawn = llm.generate(
            [Question(prompt, Sampling(n=n, seed=seed, max_tokens=160)) for seed in seeds]
        )
        texts.append([found.text for answers in drawn for found in answers])
    return texts


def copying(targets: Sequence[Target], texts: list[list[str]]) -> dict[str, float]:
    """Return how often an answer's prompt says what the target asks for, and how often it errs."""
    family, category, tempo, wrong = [], [], [], []
    for target, answers in zip(targets, texts, strict=True):
        for action in filter(None, (parse_action(text).action for text in answers)):
            said = read_text(action.prompt).fields
            if target.brief.family:
                family.append(said.get("family") == target.brief.family)
            category.append(said.get("category") == target.category)
            if target.brief.bpm:
                tempo.append(said.get("bpm") == target.brief.bpm)
                wrong.append(said.get("bpm") not in (None, target.brief.bpm))
    means = {
        "names_family": family,
        "names_category": category,
        "names_tempo": tempo,
        "wrong_tempo": wrong,
    }
    return {name: float(np.mean(found)) for name, found in means.items()}


def distinct(texts: Sequence[str]) -> int:
    """Count the different prompts among the answers to one target."""
    return len({action.prompt for text in texts if (action := parse_action(text).action)})


def breadth(actions: Sequence[AudioAction]) -> dict[str, Any]:
    """Return how widely the knobs are used."""
    samplers = Counter(a.sampler for a in actions if a.sampler in CAPABILITIES.samplers)
    shares = np.array(list(samplers.values())) / max(sum(samplers.values()), 1)
    steps = [a.steps for a in actions if a.steps is not None]
    cfg = [a.cfg_scale for a in actions if a.cfg_scale is not None]
    return {
        "sampler_entropy_bits": float(-(shares * np.log2(shares)).sum()),
        "steps_p10_p50_p90": np.percentile(steps, (10, 50, 90)).tolist(),
        "cfg_p10_p50_p90": np.percentile(cfg, (10, 50, 90)).tolist(),
        "steps_in_range": float(
            np.mean([CAPABILITIES.steps[0] <= s <= CAPABILITIES.steps[1] for s in steps])
        ),
    }


def main() -> None:
    """Measure and report."""
    benchmark = Benchmark(__doc__)
    benchmark.parser.add_argument("--model", type=Path, default=EMBEDDED_FOLDER)
    given = benchmark.options()
    torch.set_num_threads(1)
    llm = LocalLLM(given.model, "cpu")
    count, n, crowds = (6, 4, 1) if given.quick else (40, 16, 8)
    sets = {
        "curated": curated("eval")[:count],
        "procedural": [sample(STREAM, i, "eval") for i in range(count)],
    }
    began = time.perf_counter()
    texts = {name: answer(llm, targets, n) for name, targets in sets.items()}
    took = time.perf_counter() - began
    every = [text for group in texts.values() for answers in group for text in answers]
    actions = [action for text in every if (action := parse_action(text).action)]
    crowd = answer(llm, [sample(STREAM + 1, index, "eval") for index in range(crowds)], 50, turns=2)
    benchmark.finish(
        {
            "parse_rate": len(actions) / len(every),
            "distinct_prompts_per_100": float(np.mean([distinct(texts) for texts in crowd])),
            **breadth(actions),
            "bare_json_rate": float(
                np.mean([t.startswith("{") and t.endswith("}") for t in every])
            ),
            **{name: copying(sets[name], texts[name]) for name in sets},
            "answers": len(every),
            "answers_per_second": len(every) / took,
            "parameters_m": sum(p.numel() for p in llm.model.parameters()) / 1e6,
            "model_mb": sum(f.stat().st_size for f in given.model.iterdir()) / 1e6,
        }
    )


if __name__ == "__main__":
    main()
