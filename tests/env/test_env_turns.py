"""Several turns under Atropos: tokens, masks and logprobs of all answers, and the commands."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest

from audioforge.policy.embedded import EMBEDDED_FOLDER, embedded_policy
from audioforge.policy.following import following_ids, told_again
from audioforge.policy.tokenizer import CHAT_TEMPLATE
from audioforge.rollouts.outgoing import MASKED, Encoded, encode_answer

TURNS = [
    {"role": "system", "content": "Answer."},
    {"role": "user", "content": "a pad"},
    {"role": "assistant", "content": '{"prompt": "pad"}'},
    {"role": "user", "content": "Slower."},
]


@pytest.fixture(scope="module")
def policy():
    """The embedded policy on the real server: (base url, its tokenizer, the model itself)."""
    from audioforge.policy.local_llm import LocalLLM

    llm = LocalLLM(EMBEDDED_FOLDER, "cpu")
    with embedded_policy() as url:
        yield url, llm.tokenizer, llm


def told_env(url, targets, out, **settings):
    from atroposlib.envs.base import APIServerConfig

    from audioforge_env import AudioForgeConfig, AudioForgeEnv

    config = AudioForgeConfig(
        model="synth",
        targets_file=targets,
        out=str(out),
        use_wandb=False,
        tokenizer_name=str(EMBEDDED_FOLDER),
        ensure_scores_are_not_same=False,
        **settings,
    )
    server = APIServerConfig(
        model_name="tiny-policy", base_url=url, api_key="x", health_check=False, server_type="vllm"
    )
    env = AudioForgeEnv(config, [server])
    env.asker.settled = env.asker.settled._replace(embedded=True)  # it is: questions have seeds
    return env


def collected(env):
    async def run():
        await env.setup()
        with env.resources:
            item = await env.get_next_item()
            payload = (await env.collect_trajectories(item))[0]
            return payload, item["collecting"].result()[0]

    return asyncio.run(run())


def answers_of(tokens, masks):
    """Split the unmasked tokens into runs."""
    runs, open_run = [], False
    for token, mask in zip(tokens, masks, strict=True):
        if mask == MASKED:
            open_run = False
        else:
            assert mask == token
            if not open_run:
                runs.append([])
            runs[-1].append(token)
            open_run = True
    return runs


def test_all_turns_leave_with_drawn_tokens_right_masks_and_the_models_own_logprobs(
    policy, short_targets, tmp_path
):
    import torch

    url, tokenizer, llm = policy
    env = told_env(url, short_targets, tmp_path / "run", turns=3, group_size=3)
    payload, group = collected(env)
    assert max(len(episode.rollouts) for episode in group.episodes) == 3
    parts = ("tokens", "masks", "inference_logprobs", "messages")
    for member, (tokens, masks, logprobs, messages) in enumerate(
        zip(*(payload[name] for name in parts), strict=True)
    ):
        turns = group.episodes[member].rollouts
        texts = [message["content"] for message in messages if message["role"] == "assistant"]
        assert texts == [turn.text for turn in turns]
        runs = answers_of(tokens, masks)
        assert [tokenizer.decode(run, skip_special_tokens=True) for run in runs] == texts
        # What the policy read is what its chat template writes, end tokens once.
        written = tokenizer.apply_chat_template(messages, tokenize=False)
        assert tokenizer.decode(tokens) == written[: -len("\n")]
        with torch.inference_mode():
            scores = torch.log_softmax(llm.model(torch.tensor([tokens])).logits[0].float(), -1)
        for place, mask in enumerate(masks):
            if mask == MASKED:
                assert logprobs[place] == 1.0
            else:
                own = float(scores[place - 1, tokens[place]])
                assert logprobs[place] == pytest.approx(own, abs=2e-3)


def test_why_conversations_do_not_go_on_through_the_managed_server(policy, short_targets, tmp_path):
    url, tokenizer, _ = policy
    env = told_env(url, short_targets, tmp_path / "run")

    async def upstream():
        async with env.server.managed_server(tokenizer=tokenizer) as managed:
            said = await managed.chat_completion(messages=TURNS[:2], n=1, max_tokens=120, seed=1)
            text = said.choices[0].message.content
            turns = [*TURNS[:2], {"role": "assistant", "content": text}, TURNS[3]]
            await managed.chat_completion(messages=turns, n=1, max_tokens=8, seed=1)
            return managed.get_state()["nodes"][0].tokens

    tokens = asyncio.run(upstream())
    end = tokenizer.eos_token_id
    assert any(pair == (end, end) for pair in itertools.pairwise(tokens))


@pytest.mark.parametrize(
    ("template", "ends"),
    [
        (CHAT_TEMPLATE, "<|end|>"),
        (
            "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] | trim }}\n{% endfor %}"
            "{% if add_generation_prompt %}[assistant] {% endif %}",
            "",
        ),
        (  # leaves the reasoning of earlier answers out, as reasoning models' templates do
            "{% for m in messages %}<s>{{ m['role'] }}\n"
            "{{ m['content'].split('</think>')[-1] }}</s>{% endfor %}"
            "{% if add_generation_prompt %}<s>assistant\n{% endif %}",
            "</s>",
        ),
    ],
)
def test_a_conversation_goes_on_behind_the_drawn_tokens_whatever_the_template(
    tokenizer, monkeypatch, template, ends
):
    monkeypatch.setattr(tokenizer, "chat_template", template)
    turns = [dict(turn) for turn in TURNS]
    turns[2]["content"] = "<think>hm</think> " + turns[2]["content"] + "  "
    cut = tokenizer.decode(following_ids(tokenizer, turns, last=5))
    assert "Slower." in cut
    assert cut.startswith(ends)
    assert "hm" not in cut
    if ends == "</s>":
        ended = tokenizer.decode(following_ids(tokenizer, turns, tokenizer.eos_token_id))
        assert cut == "</s>" + ended


def test_a_template_without_earlier_answers_is_refused(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "chat_template", "{{ messages[-1]['content'] }}")
    with pytest.raises(ValueError, match="set turns to 1"):
        following_ids(tokenizer, TURNS, 5)
    with pytest.raises(ValueError, match="after an answer"):
        following_ids(tokenizer, TURNS[:2], 5)


def test_a_conversation_that_is_tokenised_again_unmasks_all_its_answers(tokenizer):
    before = encode_answer(tokenizer, TURNS[:2], TURNS[2]["content"])
    whole = told_again(before, encode_answer(tokenizer, TURNS, "yes"))
    runs = answers_of(whole.tokens, whole.masks)
    texts = [tokenizer.decode(run, skip_special_tokens=True).strip() for run in runs]
    assert texts == [TURNS[2]["content"], "yes"]
    other = Encoded([9_999], [9_999])
    assert told_again(other, whole) is whole


def test_process_and_evaluate_hold_conversations(command, llm, lines, tmp_path):
    llm.say = lambda number: json.dumps({"prompt": f"warm pad {number}", "seconds_total": 1.0})
    told = ["--env.turns", "2", "--env.group_size", "2", "--env.total_steps", "2"]
    assert command("process", *told) == 0
    recorded = lines(tmp_path / "run" / "rollouts.jsonl")
    assert [(line["group"], line.get("turn", 1)) for line in recorded] == [
        *[(0, 1), (0, 1), (0, 2), (0, 2)],
        *[(1, 1), (1, 1), (1, 2), (1, 2)],
    ]
    sent = lines(tmp_path / "run" / "groups.jsonl")
    for group in sent:
        assert [len(messages) for messages in group["messages"]] == [5, 5]
        for tokens, masks in zip(group["tokens"], group["masks"], strict=True):
            assert len(answers_of(tokens, masks)) == 2
    metrics = lines(tmp_path / "run" / "metrics.jsonl")
    assert all("episode/improvement" in str(line) for line in metrics)
    folder = str(tmp_path / "eval")
    assert command("evaluate", *told[:2], "--env.eval_targets", "2",
                   "--env.data_dir_to_save_evals", folder) == 0  # fmt: skip
    found = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert "eval/episode/best" in json.dumps(found)


def test_the_trainers_limit_ends_conversations_instead_of_the_run(make_env, llm):
    env = make_env("vllm", turns=3, group_size=2)

    async def run():
        await env.setup()
        with env.resources:
            item = await env.get_next_item()
            asked = len(encode_answer(env.tokenizer, env.get_prompt(item), "").tokens)
            env.asker.max_tokens = asked + 60
            return (await env.process_batch(item))[0]

    group = asyncio.run(run())
    assert [len(episode.rollouts) for episode in group.episodes] == [1, 1]
    assert all(episode.reward is not None for episode in group.episodes)
