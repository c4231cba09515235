"""Texts the embedded policy is taught on: a target's message, and an answer from weak to good.

Answers are drawn on purpose over the whole range: a bare category word, the family without its
tempo, a wrong tempo, everything that was asked. All samplers, steps from few to many and cfg over
its range appear, so that a trained policy has somewhere to go.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from audioforge.data.brief import KEYS, Brief
from audioforge.data.families import FAMILIES, Family, in_category
from audioforge.data.procedural import sample
from audioforge.data.targets import curated
from audioforge.data.wording import CATEGORY_WORDS, FILLERS, TONE_WORDS, caption
from audioforge.rollouts.messages import Capabilities, GenerationDefaults, ask

CAPABILITIES = Capabilities(
    model="tiny-stable-audio",
    sample_rate=16_000,
    channels=1,
    max_seconds=4.096,
    steps=(1, 50),
    cfg_scale=(1.0, 8.0),
    samplers=("euler", "dpmpp", "pingpong"),
    negative_prompt=True,
    recommended=GenerationDefaults(8, 2.0, "pingpong"),
    licence="MIT",
    note=(
        "Plain words: kind of sound, tempo in bpm, key, tone. "
        "8 steps suffice; cfg 2 to 4 follows the words more closely."
    ),
)
"""The backend most messages speak of."""

OTHER_NOTES = (
    "Eight steps are enough.",
    "More steps are slower, not always better.",
    "Name the instrument and the tempo.",
    "cfg 1 to 3 suits this checkpoint; short prompts work best.",
    "Distilled: 8 steps, cfg 1.",
)
OTHER_SAMPLERS = (
    ("euler", "heun"),
    ("dpmpp", "euler"),
    ("pingpong",),
    ("k-dpm-2", "euler", "dpmpp"),
)
TEMPLATES = (None, None, None, "plain", "terse", "producer")

LEVELS = ("category", "family", "partial", "wrong", "full")
LEVEL_ODDS = (0.12, 0.18, 0.20, 0.14, 0.36)
"""How often an answer's prompt is of each quality, weak to good."""
ECHO = 0.7
"""Share of answers that use the description's own words for family and tone."""
WRAPPED = 0.05
"""Share of answers with a sentence or a fence around the JSON."""

_WISHES = (
    "{}", "{}", "{}", "{}.", "a {}", "I need {}", "We want a {}.", "{} for a game",
    "{}, as on a record",
    "{} with a natural feel", "Something like {}", "{} for a film scene", "make a {} please",
    "The sound of {}.",
)  # fmt: skip
_BEFORE = (
    "Here is my choice:\n",
    "Sure.\n",
    "I would ask for this:\n",
    "Thinking of the tempo first.\n",
)
_AFTER = ("\nThis should fit.", "\nMore steps would be slower.", "\nThe tempo is the main thing.")
_UNWANTED = (
    "noise",
    "distortion",
    "vocals",
    "speech",
    "reverb",
    "drums",
    "melody",
    "hiss",
    "clicks",
    "silence",
)


@dataclass(frozen=True)
class Lesson:
    """One example: what the policy reads, what it should say, and what was asked for."""

    user: str
    answer: str
    brief: Brief


def draw_capabilities(rng: np.random.Generator) -> tuple[Capabilities, str | None]:
    """Draw the backend a message speaks of, mostly CAPABILITIES, and a template name."""
    template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
    if rng.random() < 0.6:
        return CAPABILITIES, template
    return (
        replace(
            CAPABILITIES,
            note=one_of(rng, (*OTHER_NOTES, CAPABILITIES.note)),
            samplers=one_of(rng, (*OTHER_SAMPLERS, CAPABILITIES.samplers)),
            steps=(1, one_of(rng, (20, 50, 50, 100, 200))),
            cfg_scale=(one_of(rng, (0.0, 1.0)), one_of(rng, (8.0, 10.0, 15.0))),
            max_seconds=one_of(rng, (4.0, 4.096, 10.0, 11.0, 30.0)),
            negative_prompt=bool(rng.random() < 0.7),
        ),
        template,
    )


def system_text(capabilities: Capabilities, template: str | None) -> str:
    """Return the system message, which all lessons of one training step share."""
    return ask("-", 1.0, capabilities, template)[0]["content"]


def draw_brief(rng: np.random.Generator, longest: float) -> Brief:
    """Draw what is asked: any family, with tempo, key and tone words now and then."""
    families = list(FAMILIES.values())
    family = families[int(rng.integers(len(families)))]
    fields: dict[str, Any] = {"category": family.category, "family": family.name}
    if rng.random() < 0.05:
        del fields["family"]
    if (family.bpm and rng.random() < 0.85) or rng.random() < 0.03:
        fields["bpm"] = float(rng.integers(60, 181))
    if family.tonal and rng.random() < 0.5:
        fields["key"] = str(rng.choice(KEYS))
    for name, value in TONE_WORDS:
        if rng.random() < 0.15:
            fields[name] = value
    seconds = (
        4.0
        if rng.random() < 0.4
        else round(float(rng.uniform(0.8, min(longest, 12.0))), int(rng.integers(0, 3)))
    )
    return Brief(**fields, seconds=min(max(seconds, 0.5), longest))


def describe(brief: Brief, rng: np.random.Generator) -> str:
    """Phrase a brief as a target description: a caption, in the ways people wrap one."""
    words = caption(brief, rng, held_out=bool(rng.random() < 0.15))
    text = one_of(rng, _WISHES).format(words)
    if rng.random() < 0.5:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.2:
        text = text.replace("bpm", "BPM")
    return text


def draw_lesson(
    rng: np.random.Generator, capabilities: Capabilities, template: str | None
) -> Lesson:
    """Draw a target and an answer to it."""
    description, brief = draw_target(rng, capabilities.max_seconds)
    user = ask(description, brief.seconds, capabilities, template)[1]["content"]
    return Lesson(user, draw_answer(brief, capabilities, rng, description), brief)


def draw_target(rng: np.random.Generator, longest: float) -> tuple[str, Brief]:
    """Draw a description and its brief: procedural or curated (train split), or phrased here."""
    source = rng.random()
    if source < 0.4:
        brief = draw_brief(rng, longest)
        return describe(brief, rng), brief
    if source < 0.75:
        target = sample(int(rng.integers(2**31)), int(rng.integers(2**31)), "train")
        return target.target_description, target.brief
    known = curated("train")
    target = known[int(rng.integers(len(known)))]
    return _at_another_tempo(target.target_description, target.brief, rng)


def _at_another_tempo(text: str, brief: Brief, rng: np.random.Generator) -> tuple[str, Brief]:
    """Change the tempo of half the curated targets, so that it is read and not remembered."""
    if brief.bpm is None or f"{brief.bpm:g}" not in text or rng.random() < 0.5:
        return text, brief
    bpm = float(rng.integers(60, 181))
    return text.replace(f"{brief.bpm:g}", f"{bpm:g}"), replace(brief, bpm=bpm)


def draw_answer(
    brief: Brief, capabilities: Capabilities, rng: np.random.Generator, description: str = ""
) -> str:
    """Draw one answer, JSON in nearly all cases with nothing around it."""
    prompt = draw_prompt(brief, rng)
    if rng.random() < ECHO:
        prompt = _echo(prompt, description.lower(), brief)
    fields: dict[str, Any] = {"prompt": prompt}
    if capabilities.negative_prompt and rng.random() < 0.15:
        fields["negative_prompt"] = one_of(rng, _UNWANTED)
    draw = rng.random()
    if draw < 0.8:
        fields["seconds_total"] = _plain(round(min(brief.seconds, capabilities.max_seconds), 3))
    elif draw < 0.92:
        drawn = round(float(rng.uniform(0.5, capabilities.max_seconds)), 1)
        fields["seconds_total"] = _plain(min(drawn, capabilities.max_seconds))
    if rng.random() < 0.97:
        low, high = capabilities.steps
        fields["steps"] = int(
            np.clip(round(float(np.exp(rng.uniform(np.log(low), np.log(high))))), low, high)
        )
    if rng.random() < 0.97:
        fields["cfg_scale"] = round(float(rng.uniform(*capabilities.cfg_scale)), 1)
    if rng.random() < 0.97:
        fields["sampler"] = one_of(rng, capabilities.samplers)
    text = json.dumps(fields)
    if rng.random() < WRAPPED:
        kind = rng.random()
        if kind < 0.4:
            return f"```json\n{text}\n```"
        return one_of(rng, _BEFORE) + text if kind < 0.7 else text + one_of(rng, _AFTER)
    return text


def draw_prompt(brief: Brief, rng: np.random.Generator) -> str:
    """Draw the prompt of an answer, of a quality drawn from LEVEL_ODDS."""
    level = LEVELS[int(rng.choice(len(LEVELS), p=LEVEL_ODDS))]
    if level == "category" or brief.family is None:
        word = one_of(rng, CATEGORY_WORDS[brief.category])
        return f"{word}, {one_of(rng, FILLERS)}" if rng.random() < 0.3 else word
    bare = Brief(category=brief.category, family=brief.family)
    if level == "family":
        return caption(bare, rng)
    if level == "partial":
        return caption(_without(brief, rng), rng)
    if level == "wrong":
        return caption(_spoiled(brief, FAMILIES[brief.family], rng), rng)
    return caption(brief, rng)


def _echo(prompt: str, description: str, brief: Brief) -> str:
    """Say family and tones in the words of the description, where both name them."""
    kinds = [FAMILIES[brief.family].words] if brief.family else []
    for words in (*kinds, *TONE_WORDS.values()):
        said = next((word for word in words if word in description), None)
        other = next((word for word in words if word in prompt), None)
        if said and other:
            prompt = prompt.replace(other, said)
    return prompt


def _without(brief: Brief, rng: np.random.Generator) -> Brief:
    """Leave out the tempo and the key, or the tone words, or some of everything."""
    tones = tuple({name for name, _ in TONE_WORDS})
    dropped = one_of(rng, (("bpm", "key"), tones, ("bpm",), ("key", *tones[:2])))
    return replace(brief, **dict.fromkeys(dropped))


def _spoiled(brief: Brief, family: Family, rng: np.random.Generator) -> Brief:
    """Ask for something else: another tempo, another tone, or a neighbouring family."""
    kind = rng.random()
    if kind < 0.5 and brief.bpm:
        return replace(brief, bpm=float(rng.integers(60, 181)))
    if kind < 0.75:
        other = one_of(rng, tuple(f for f in in_category(family.category)))
        return replace(brief, family=other.name)
    name, value = one_of(rng, tuple(TONE_WORDS))
    return replace(brief, **{name: value})


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else value


def one_of(rng: np.random.Generator, options: Any) -> Any:
    """Draw one of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]
