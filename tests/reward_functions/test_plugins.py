"""Plug-ins: optional learned judges, exercised on small random weights of the real classes."""

import json

import numpy as np
import pytest
import signals
import torch

from audioforge.data.brief import Brief
from audioforge.generation.synth import render
from audioforge.reward_functions import CombinedReward, RewardConfig
from audioforge.reward_functions.plugins import (
    PluginSpec,
    describe_brief,
    load_plugin,
    other_kinds,
)


@pytest.fixture(scope="module")
def house_clip():
    """Four seconds of the teacher's house loop."""
    return render(Brief("drums", "house", bpm=124.0), 3, 16_000)


BRIEF = Brief("drums", "techno", bpm=128.0, brightness="dark")


@pytest.fixture(scope="module")
def clap_folder(tmp_path_factory):
    """A CLAP checkpoint of 0.3 M random weights, with the tokenizer and extractor it needs."""
    from transformers import (
        ClapAudioConfig,
        ClapConfig,
        ClapFeatureExtractor,
        ClapModel,
        ClapTextConfig,
        RobertaTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("clap")
    letters = [chr(c) for c in range(33, 127)] + ["\u0120"]
    vocab = {t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters])}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = RobertaTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"))
    text = ClapTextConfig(
        vocab_size=len(vocab),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        projection_dim=16,
    )
    audio = ClapAudioConfig(
        patch_embeds_hidden_size=16,
        hidden_size=128,
        depths=[1, 1, 1, 1],
        num_attention_heads=[2, 2, 4, 4],
        num_mel_bins=64,
        spec_size=256,
        projection_dim=16,
        enable_fusion=False,
    )
    config = ClapConfig(text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=16)
    torch.manual_seed(1)
    ClapModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad").save_pretrained(folder)
    return folder


def test_clap_judges_the_same_clip_alike_and_leaves_global_randomness_alone(clap_folder):
    judge = load_plugin("clap", PluginSpec(str(clap_folder)))
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    long = signals.Audio(np.tile(signals.sine().samples, 2), signals.RATE)
    first, second = judge(long, BRIEF), judge(long, BRIEF)
    assert first == second
    assert 0 <= first.value <= 1
    assert first.value != judge(signals.white(), BRIEF).value
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_clap_has_no_verdict_without_a_brief(clap_folder):
    assert not load_plugin("clap", PluginSpec(str(clap_folder)))(signals.sine(), None).scored


def test_a_plug_in_joins_the_total_with_its_share_and_no_more(clap_folder, house_clip):
    plain = CombinedReward().judge([house_clip], BRIEF)[0]
    config = RewardConfig(plugins={"clap": PluginSpec(str(clap_folder), 0.2)})
    joined = CombinedReward(config).judge([house_clip], BRIEF)[0]
    assert "clap" not in plain.parts
    assert joined.weights["clap"] == pytest.approx(0.2)
    assert sum(joined.weights.values()) == pytest.approx(1)
    value = joined.parts["clap"].value
    assert joined.total == pytest.approx(plain.total**0.8 * value**0.2, rel=1e-6)


def test_an_unscored_plug_in_gives_its_share_back(clap_folder, house_clip):
    config = RewardConfig(plugins={"clap": PluginSpec(str(clap_folder), 0.2)})
    plain = CombinedReward().judge([house_clip], None)[0]
    joined = CombinedReward(config).judge([house_clip], None)[0]
    assert joined.total == plain.total
    assert not joined.parts["clap"].scored


@pytest.mark.parametrize("weight", [0.0, -0.1, 0.21, float("nan")])
def test_a_plug_in_weighs_at_most_a_fifth(weight):
    with pytest.raises(ValueError, match=r"above 0 and at most 0.2"):
        PluginSpec("somewhere", weight)


def test_an_unknown_plug_in_and_missing_weights_are_one_clear_error(tmp_path):
    with pytest.raises(ValueError, match="plug-in must be one of"):
        load_plugin("taste", PluginSpec("somewhere"))
    with pytest.raises(ValueError, match="plug-in clap: cannot load"):
        load_plugin("clap", PluginSpec(str(tmp_path / "nothing")))


def test_plug_ins_are_read_from_the_rewards_file(tmp_path):
    path = tmp_path / "rewards.yaml"
    path.write_text("plugins: {clap: {source: laion/larger_clap_music, weight: 0.15}}\n")
    config = RewardConfig.load(path)
    assert config.plugins == {"clap": PluginSpec("laion/larger_clap_music", 0.15)}
    path.write_text("plugins: {clap: {model: x}}\n")
    with pytest.raises(ValueError, match="plug-in clap takes source and weight"):
        RewardConfig.load(path)


def test_a_brief_is_said_in_plain_words_beside_other_kinds():
    assert describe_brief(BRIEF) == "dark techno drum loop at 128 bpm"
    assert len(other_kinds(BRIEF)) == 25
    assert len(other_kinds(Brief("ambient"))) == 4


def test_aesthetics_runs_the_real_network_on_small_random_weights(tmp_path, monkeypatch):
    aes = pytest.importorskip(
        "audiobox_aesthetics.model.aes", reason="pip install --no-deps audiobox_aesthetics==0.0.4"
    )
    small = {
        "encoder_layers": 2,
        "encoder_embed_dim": 32,
        "encoder_ffn_embed_dim": 64,
        "encoder_attention_heads": 2,
        "conv_pos": 16,
        "conv_pos_groups": 4,
    }
    for name, value in small.items():
        monkeypatch.setattr(aes.DEFAULT_AUDIO_CFG, name, value)
    scale = {axis: {"mean": 5.0, "std": 1.0} for axis in aes.AXES_NAME}
    aes.AesMultiOutput(nth_layer=3, target_transform=scale).save_pretrained(tmp_path)
    judge = load_plugin("aesthetics", PluginSpec(str(tmp_path)))
    clip = render(Brief("drums", "house", bpm=124.0, seconds=10.5), 3, 16_000)
    first = judge(clip, None)
    assert first == judge(clip, None)
    assert 0 < first.value < 1
    assert first.value == pytest.approx((first.measured["quality"] - 1) / 9)
