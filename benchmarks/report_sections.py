"""The sections of docs/performance.md, in order; `report.py` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Section:
    """One benchmark on the page."""

    name: str
    """As in the file names of its results."""
    title: str
    about: str
    columns: Mapping[str, str]
    """Keys of the figures by heading."""
    nested: bool = False
    """Whether the figures lie one level down, by model."""
    curves: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Keys that hold {x: y} and are drawn, with the labels of both axes."""
    bars: tuple[str, ...] = ()
    """Keys of speeds that are drawn side by side."""


SECTIONS = (
    Section(
        "heterogeneous_batch",
        "Mixed batches of a diffusion model",
        "Sixty-four requests that differ in everything, in clips per second: upstream's own call "
        "one by one, requests of equal parameters grouped, our mixed batches, and our batches of "
        "equal requests.",
        {
            "one by one": "solo", "grouped": "grouped", "ours": "ours", "ours, equal": "uniform",
            "ours / one by one": "ours_over_solo", "ours / equal": "ours_over_uniform",
            "largest difference": "max_abs_difference",
        },
        nested=True,
        bars=("solo", "grouped", "ours", "uniform"),
    ),
    Section(
        "musicgen",
        "MusicGen",
        "Our decode loop against transformers' `generate`, by batch size.",
        {
            "times faster, by batch size": "speedup",
            "without EnCodec, which both run alike": "decoding_speedup",
            "greedy equal to generate's solo calls": "greedy_equal",
            "share of memory bandwidth": "bandwidth_fraction",
        },
        curves={"speedup": ("batch size", "times faster")},
    ),
    Section(
        "engine",
        "The engine under faults",
        "Requests with workers killed, poison, too little memory above a size, and cancellations.",
        {
            "overhead per request, µs": "overhead_us", "requests": "requests", "lost": "lost",
            "done twice": "duplicated", "kills": "kills", "out of memory": "ooms",
            "cancelled": "cancelled",
        },
    ),
    Section(
        "scoring",
        "Scoring",
        "A 10 s stereo clip of 44.1 kHz through the whole suite, against a straightforward librosa "
        "pipeline.",
        {
            "times less CPU": "cpu_ratio_vs_librosa", "CPU ms per clip": "cpu_ms_per_clip",
            "first call, s": "first_call_s", "growth over 2 000 clips, MB": "rss_growth_mb",
            "two processes": "two_process_scaling", "clips/s on a GPU": "gpu_clips_per_s",
        },
    ),
    Section(
        "tiny_stable_audio",
        "tiny-stable-audio",
        "What the embedded diffusion model does with its prompt (see its model card).",
        {
            "autoencoder agreement": "autoencoder_agreement",
            "kind of sound right": "prompt_class_accuracy", "chance": "chance",
            "asked tempo beats decoys": "tempo_beats_decoys", "MB": "model_mb",
        },
        curves={
            "steps_curve": ("steps", "kind of sound right"),
            "cfg_curve": ("cfg scale", "kind of sound right"),
        },
    ),
    Section(
        "pareto",
        "What more steps buy",
        "Mean reward of tiny-stable-audio for 1 to 50 steps on the baseline prompts of train "
        "targets, [drawn against model evaluations](figures/pareto.png); the best setting after a "
        "charge of `--env.cost_steps`, by its weight ([cost](optimizer.md)).",
        {
            "clips a setting": "clips", "best steps, by weight": "best_steps",
            "best cfg, by weight": "best_cfg",
        },
    ),
    Section(
        "tiny_musicgen",
        "tiny-musicgen",
        "What the embedded token model does with its prompt (see its model card).",
        {
            "asked pitch class right": "pitch_class_accuracy",
            "asked tempo beats decoys": "tempo_beats_decoys", "MB": "model_mb",
        },
    ),
    Section(
        "tiny_policy",
        "tiny-policy",
        "The embedded language model.",
        {
            "answers that parse": "parse_rate",
            "distinct prompts of 100": "distinct_prompts_per_100",
            "bits of choice of sampler": "sampler_entropy_bits",
            "answers per second": "answers_per_second", "MB": "model_mb",
        },
    ),
)  # fmt: skip
