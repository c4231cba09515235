"""TRL's environment_factory: its own tool loop calls our tool and takes our reward."""

import json

import pytest

from audioforge.adapters.trl_environment import sound_environments, tool_dataset
from audioforge.generation.request import Failure
from audioforge.generation.synth_backend import SynthBackend
from audioforge.policy.embedded import EMBEDDED_FOLDER
from audioforge.rollouts.desk import Desk
from audioforge.rollouts.settings import EnvSettings


@pytest.fixture
def desk(quick):
    desk = Desk(EnvSettings(**quick))
    yield desk
    desk.close()


def test_the_last_sound_is_what_counts_and_no_sound_is_worth_0(desk):
    env = sound_environments(desk)()
    row = tool_dataset(desk, 1)[0]
    assert env.reset(**row) is None
    assert env.get_reward() == 0.0
    heard = env.make_sound(prompt=desk.target_at(0).baseline_prompt, seconds_total=1.0)
    assert heard.startswith(f"Your clip scored {env.get_reward():.2f} of 1")
    assert heard.endswith("Call make_sound again to put this right, or stop.")
    assert env.get_reward() > 0
    assert "could not be read" in env.make_sound(prompt="")
    assert env.get_reward() == 0.0
    env.reset(**row)
    assert env.get_reward() == 0.0


class Lost(SynthBackend):
    """A generator that breaks."""

    def generate(self, requests):
        return [Failure(request, "memory", "out of memory") for request in requests]


def test_a_sound_we_lost_has_no_reward(quick, monkeypatch):
    monkeypatch.setattr("audioforge.generation.synth_backend.SynthBackend", Lost)
    desk = Desk(EnvSettings(**quick))
    env = sound_environments(desk)()
    env.reset(**tool_dataset(desk, 1)[0])
    assert "out of memory" in env.make_sound(prompt="rain")
    assert env.get_reward() is None
    desk.close()


@pytest.fixture
def policy():
    """A small random model, and the embedded tokenizer with a chat template that knows tools."""
    transformers = pytest.importorskip("transformers")
    utils = pytest.importorskip("trl.chat_template_utils", reason='pip install "audioforge[trl]"')
    tokenizer = transformers.AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    tokenizer.chat_template = utils.qwen3_chat_template
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8_192,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return transformers.LlamaForCausalLM(config), tokenizer


def test_a_grpo_step_calls_the_tool_and_takes_the_reward(desk, policy, tmp_path, monkeypatch):
    from trl import GRPOConfig, GRPOTrainer

    model, tokenizer = policy
    trainer = GRPOTrainer(
        model=model,
        environment_factory=sound_environments(desk),
        train_dataset=tool_dataset(desk, 2),
        processing_class=tokenizer,
        args=GRPOConfig(
            output_dir=str(tmp_path),
            max_steps=1,
            per_device_train_batch_size=2,
            num_generations=2,
            max_completion_length=2_048,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
        ),
    )
    said = iter([[_call("rain"), _call("drum loop")], ["done", "done"]])

    def write(*_, **__):  # the words of a trained model; all else is TRL
        texts = [f"{text}<|im_end|>" for text in next(said)]
        return [tokenizer(text, add_special_tokens=False).input_ids for text in texts], None

    monkeypatch.setattr(trainer, "_generate_single_turn", write)
    trainer.train()
    step = trainer.state.log_history[0]
    assert step["tools/call_frequency"] == 1.0
    assert step["tools/failure_frequency"] == 0.0
    assert 0 < step["rewards/SoundEnvironment/mean"] <= 1


def _call(prompt):
    told = {"name": "make_sound", "arguments": {"prompt": prompt, "seconds_total": 1.0}}
    return f"<tool_call>\n{json.dumps(told)}\n</tool_call>"
