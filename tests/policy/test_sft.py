"""What the embedded policy is taught, its tokenizer, and its training loop."""

import json
import math

import numpy as np
import pytest
import torch

from audioforge.data.families import FAMILIES
from audioforge.data.wording import read_text
from audioforge.policy import train_sft
from audioforge.policy.sft_batches import Recipe
from audioforge.policy.sft_texts import CAPABILITIES, draw_capabilities, draw_lesson
from audioforge.policy.tokenizer import CHAT_TEMPLATE, build_tokenizer, training_texts
from audioforge.rollouts.outgoing import MASKED
from audioforge.rollouts.parser import parse_action

TINY = Recipe(
    drill_steps=2,
    steps=6,
    batch=4,
    hidden=32,
    layers=2,
    heads=2,
    feed_forward=64,
    warmup=2,
    peak=5e-3,
)


@pytest.fixture(scope="module")
def lessons():
    rng = np.random.default_rng(0)
    return [draw_lesson(rng, CAPABILITIES, None) for _ in range(1_500)]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(training_texts(3, lessons=200), vocabulary=600)


def test_every_taught_answer_parses_and_is_within_the_ranges(lessons):
    for lesson in lessons:
        action = parse_action(lesson.answer).action
        assert action is not None, lesson.answer
        assert (
            action.seconds_total is None or 0.5 <= action.seconds_total <= CAPABILITIES.max_seconds
        )
        assert action.steps is None or 1 <= action.steps <= 50
        assert action.cfg_scale is None or 1 <= action.cfg_scale <= 8
        assert action.sampler is None or action.sampler in CAPABILITIES.samplers


def test_answers_of_other_backends_keep_to_their_ranges():
    rng = np.random.default_rng(1)
    for _ in range(300):
        capabilities, template = draw_capabilities(rng)
        told = parse_action(draw_lesson(rng, capabilities, template).answer).action
        assert told.sampler is None or told.sampler in capabilities.samplers
        assert told.steps is None or told.steps <= capabilities.steps[1]
        assert told.negative_prompt is None or capabilities.negative_prompt


def test_answers_go_from_weak_to_good_and_use_every_knob(lessons):
    actions = [parse_action(lesson.answer).action for lesson in lessons]
    read = [
        (lesson.brief, read_text(action.prompt).fields)
        for lesson, action in zip(lessons, actions, strict=True)
    ]
    named = [fields.get("family") == brief.family for brief, fields in read if brief.family]
    tempo = [fields.get("bpm") == brief.bpm for brief, fields in read if brief.bpm]
    wrong = [fields["bpm"] != brief.bpm for brief, fields in read if brief.bpm and "bpm" in fields]
    assert 0.6 < np.mean(named) < 0.9
    assert 0.3 < np.mean(tempo) < 0.7
    assert 0.03 < np.mean(wrong) < 0.4
    for sampler in CAPABILITIES.samplers:
        assert sum(action.sampler == sampler for action in actions) > 0.25 * len(actions)
    steps = [action.steps for action in actions if action.steps]
    assert np.percentile(steps, 10) <= 2
    assert np.percentile(steps, 90) >= 25
    wrapped = [
        not lesson.answer.startswith("{") or not lesson.answer.endswith("}") for lesson in lessons
    ]
    assert 0.02 < np.mean(wrapped) < 0.09


def test_lessons_are_a_function_of_the_seed():
    twice = [draw_lesson(np.random.default_rng(4), CAPABILITIES, None) for _ in range(2)]
    assert twice[0] == twice[1]


def test_any_text_survives_the_tokenizer(tokenizer):
    for text in ("", "Ünï 😀 128.25bpm\t x\r\n\x00", '{"prompt": "a"}', "a  b   c", "<|end|>?"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_tempo_is_the_same_token_wherever_it_stands():
    tokenizer = build_tokenizer(training_texts(3, lessons=1_500))
    for bpm in range(60, 181):
        (token,) = tokenizer.encode(str(bpm))
        assert token in tokenizer.encode(f'{{"prompt": "{bpm} bpm techno"}}')
        assert token in tokenizer.encode(f"Techno, {bpm} BPM.")


def test_the_tokenizer_adds_nothing_to_a_prompt(tokenizer):
    told = [{"role": "user", "content": "rain"}]
    text = tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
    assert text == "<|user|>\nrain<|end|>\n<|assistant|>\n"
    assert tokenizer.encode(text) == tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.chat_template == CHAT_TEMPLATE


def test_the_shared_prefix_gives_the_same_loss_as_whole_sequences(tokenizer):
    model = train_sft.build_model(TINY, tokenizer)
    batch = train_sft.draw_batch(2, TINY, tokenizer)
    whole = torch.cat([batch.prefix.expand(TINY.batch, -1), batch.lessons], 1)
    logits = model(whole).logits[:, batch.prefix.shape[1] - 1 : -1]
    direct = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.labels.flatten(), ignore_index=MASKED
    )
    assert train_sft.batch_loss(model, batch).item() == pytest.approx(direct.item(), abs=1e-4)


def test_drills_come_first_and_repeat_what_was_said(tokenizer):
    batch = train_sft.draw_batch(0, TINY, tokenizer)
    for ids, labels in zip(batch.lessons.tolist(), batch.labels.tolist(), strict=True):
        learnt = tokenizer.decode([t for t in labels if t != MASKED], skip_special_tokens=True)
        said = tokenizer.decode(ids).split("Target: ")[1].split("<|end|>")[0]
        assert json.loads(learnt) == {"prompt": said[0].lower() + said[1:]}


def test_only_answers_and_their_end_are_learnt(tokenizer):
    batch = train_sft.draw_batch(0, TINY, tokenizer)
    for ids, labels in zip(batch.lessons.tolist(), batch.labels.tolist(), strict=True):
        learnt = [token for token in labels if token != MASKED]
        assert learnt[-1] == tokenizer.eos_token_id
        assert parse_action(tokenizer.decode(learnt[:-1])).action is not None
        assert [i for i, label in zip(ids, labels, strict=True) if label != MASKED] == learnt


def test_an_interrupted_training_ends_where_an_undisturbed_one_does(tokenizer, tmp_path):
    whole = train_sft.build_model(TINY, tokenizer)
    loss = train_sft.train(whole, tokenizer, TINY, tmp_path / "whole.pt", save_every=3)
    assert math.isfinite(loss)
    torn = train_sft.build_model(TINY, tokenizer)
    seen, original = [], train_sft.draw_batch

    def stops(step, recipe, known):
        seen.append(step)
        if len(seen) == 5:
            raise RuntimeError("power cut")
        return original(step, recipe, known)

    train_sft.draw_batch = stops
    try:
        with pytest.raises(RuntimeError, match="power cut"):
            train_sft.train(torn, tokenizer, TINY, tmp_path / "torn.pt", save_every=3)
        resumed = train_sft.build_model(TINY, tokenizer)
        train_sft.train(resumed, tokenizer, TINY, tmp_path / "torn.pt", save_every=3)
    finally:
        train_sft.draw_batch = original
    assert seen == [0, 1, 2, 3, 4, 3, 4, 5]
    for ours, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_checkpoint_of_another_recipe_is_refused(tokenizer, tmp_path):
    model = train_sft.build_model(TINY, tokenizer)
    train_sft.train(model, tokenizer, TINY, tmp_path / "a.pt")
    with pytest.raises(train_sft.CheckpointError, match="belongs to another training"):
        train_sft.train(model, tokenizer, Recipe(**{**TINY.__dict__, "seed": 9}), tmp_path / "a.pt")


def test_the_exported_folder_loads_as_any_transformers_model(small_folder, tokenizer):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(small_folder)
    assert loaded.eos_token == "<|end|>"
    assert loaded.pad_token == "<|pad|>"
    assert loaded.encode("techno 128 bpm") == tokenizer.encode("techno 128 bpm")
    model = AutoModelForCausalLM.from_pretrained(small_folder)
    assert model.config.eos_token_id == loaded.eos_token_id
    assert json.loads((small_folder / "config.json").read_text())["model_type"] == "llama"


def test_sharpening_at_the_export_is_a_temperature(tokenizer, tmp_path):
    from transformers import AutoModelForCausalLM

    model = train_sft.build_model(TINY, tokenizer)
    train_sft.export(model, tokenizer, tmp_path, sharpen=1.25)
    sharp = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ids = torch.tensor([[5, 80, 90, 100]])
    with torch.no_grad():
        assert torch.allclose(sharp(ids).logits, 1.25 * model(ids).logits, atol=0.01)


def test_all_family_words_are_short_in_tokens():
    tokenizer = build_tokenizer(training_texts(0, lessons=2_000))
    for family in FAMILIES.values():
        for word in family.words:
            assert len(tokenizer.encode(" " + word)) <= 2 * len(word.split()) + 1
