"""The policy that ships: small, offline, parses nearly always, broad, and it reads its target."""

from collections import Counter

import numpy as np
import pytest

from audioforge.data.targets import curated
from audioforge.data.wording import read_text
from audioforge.policy.client import AskSettings, endpoint
from audioforge.policy.drawing import Question, Sampling
from audioforge.policy.embedded import EMBEDDED_FOLDER, EMBEDDED_MODEL, embedded_policy
from audioforge.policy.local_llm import LocalLLM
from audioforge.policy.sft_texts import CAPABILITIES
from audioforge.rollouts.messages import messages_for
from audioforge.rollouts.parser import parse_action


@pytest.fixture(scope="module")
def answers():
    """Targets of the eval split, each with the texts of 16 answers at temperature 1."""
    import torch

    torch.set_num_threads(1)
    llm = LocalLLM(EMBEDDED_FOLDER, "cpu")
    targets = curated("eval")[::3]
    questions = [
        Question(
            llm.encode_chat(messages_for(target, CAPABILITIES)),
            Sampling(n=16, seed=index, max_tokens=160),
        )
        for index, target in enumerate(targets)
    ]
    return [
        (t, [a.text for a in found])
        for t, found in zip(targets, llm.generate(questions), strict=True)
    ]


@pytest.fixture(scope="module")
def actions(answers):
    parsed = [(target, parse_action(text).action) for target, texts in answers for text in texts]
    return [(target, action) for target, action in parsed if action]


def test_the_folder_is_small_and_safe():
    files = [path for path in EMBEDDED_FOLDER.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md", ".jinja"}


def test_nearly_all_answers_parse(answers, actions):
    assert len(actions) >= 0.95 * sum(len(texts) for _, texts in answers)


def test_its_choices_are_broad(actions):
    samplers = Counter(action.sampler for _, action in actions)
    assert all(samplers[name] > 0.15 * len(actions) for name in CAPABILITIES.samplers)
    steps = [action.steps for _, action in actions if action.steps]
    assert np.percentile(steps, 10) <= 3
    assert np.percentile(steps, 90) >= 20
    assert len({action.prompt for _, action in actions}) > 0.5 * len(actions)


def test_it_reads_the_target_but_has_room_to_learn(actions):
    read = [(target.brief, read_text(action.prompt).fields) for target, action in actions]
    family = [fields.get("family") == brief.family for brief, fields in read if brief.family]
    tempo = [fields.get("bpm") == brief.bpm for brief, fields in read if brief.bpm]
    assert 0.35 < np.mean(family) < 0.95
    assert 0.2 < np.mean(tempo) < 0.95


def test_the_embedded_server_answers_with_actions():
    import asyncio

    with embedded_policy() as base_url:
        ask = endpoint(base_url, EMBEDDED_MODEL, settings=AskSettings(seed=1, max_tokens=160))
        said = asyncio.run(ask(messages_for(curated("eval")[0], CAPABILITIES), 12))
    assert sum(parse_action(completion.text).action is not None for completion in said) >= 10
