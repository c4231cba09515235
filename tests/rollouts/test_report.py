"""The page is complete, safe against what a model writes, and small enough to send."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile as sf
import yaml
from PIL import Image

from audioforge.generation.request import Clip, Failure
from audioforge.generation.synth_backend import SynthBackend
from audioforge.reward_functions.score import RewardReport, Score
from audioforge.rollouts import report_plots as plots
from audioforge.rollouts.errors import StoreError
from audioforge.rollouts.report import write_report
from audioforge.rollouts.report_media import (
    MP3_RATES,
    PICTURE_SIZE,
    mel_db,
    mp3_bytes,
    spectrogram_bytes,
)
from audioforge.utils.audio_processing import Audio

PAYLOAD = (
    "</script></style></pre><script>alert(1)</script><img src=x onerror=alert(2)>\"'>"
    "<svg/onload=alert(3)>{{7*7}}&lt;"
)


class Page(HTMLParser):
    """Every tag with its attributes, and the text."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, text):
        self.words.append(text)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def every(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture
def page_of(started):
    def make(**options):
        return Page(write_report(started.folder, **options))

    return make


def tone(rate=16_000, channels=1, seconds=0.5, hz=1_000.0):
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)
    return Audio(np.tile(wave, (channels, 1)).astype(np.float32), rate)


def test_the_page_shows_targets_and_rollouts_best_first(
    collect, say, started, page_of, target, judge
):
    worth = {"bell": 0.25, "rain": 0.75}
    order = iter(worth.values())
    judge.report = lambda audio: RewardReport(
        value := next(order), {"audio_quality": Score(value, "no clicks")}
    )
    collect(say(prompt="bell"), say(prompt="rain"), "no idea at all", store=started)
    page = page_of()
    assert target.target_description in page.text
    ids = [attrs["id"] for attrs in page.every("article")]
    assert ids == ["g00000-r1", "g00000-r0", "g00000-r2"]
    for words in (
        "0.75",
        "0.25",
        "Audio quality",
        "no clicks",
        "no JSON object in the answer",
        "no idea at all",
    ):
        assert words in page.text
    assert len(page.every("audio")) == 2
    assert all(attrs["preload"] == "none" and "controls" in attrs for attrs in page.every("audio"))


def test_the_mean_of_a_category_counts_answers_without_a_clip(
    collect, say, started, page_of, judge
):
    judge.report = lambda audio: RewardReport(0.5, {"audio_quality": Score(0.5, "")})
    collect(say(prompt="bell"), "no idea at all", store=started)
    text = page_of().text
    strip = text[text.index("By category") : text.index("Parts of the reward")]
    assert "each dot an answer" in strip
    assert "0.25" in strip


def test_every_part_check_gate_repair_and_drop_is_told(collect, say, started, page_of, judge):
    class Failing(SynthBackend):
        def _one(self, request):
            return (
                Failure(request, "invalid", "the generator said no")
                if "flute" in request.prompt
                else super()._one(request)
            )

    report = judge.report

    def gated(audio):
        whole = report(audio)
        return RewardReport(
            0.0, whole.parts, gates=("clipped",), checks=whole.checks, weights=whole.weights
        )

    judge.report = gated
    collect(say(steps="4", extra=1), say(prompt="flute"), store=started, backend=Failing())
    text = page_of().text
    for words in (
        *(
            "length: asked 4 s, heard 3 s",
            "Clipped: this gate is shut, so the reward is 0",
            "no pulse",
            "unscored",
        ),
        *(
            "the generator said no",
            "Dropped, not judged",
            'steps "4" read as a number',
            'unknown field "extra" left out',
        ),
        *("steps 4 clamped to 1", "weight 100%"),
    ):
        assert words in text, words


def test_nothing_a_model_or_a_user_writes_becomes_markup(collect, say, started, page_of, judge):
    report = judge.report
    judge.report = lambda audio: RewardReport(
        0.5,
        {PAYLOAD: Score(0.5, PAYLOAD)},
        gates=(PAYLOAD,),
        checks=report(audio).checks,
        weights={PAYLOAD: 1.0},
    )
    collect(
        say(prompt=PAYLOAD, negative_prompt=PAYLOAD, sampler="<b>" + PAYLOAD[:30], foo=PAYLOAD),
        PAYLOAD,
        store=started,
    )
    run_file = started.folder / "run.yaml"
    run_file.write_text(
        yaml.safe_dump(
            {"config": {"policy": PAYLOAD, "targets": PAYLOAD}, "facts": {"started": PAYLOAD}}
        )
    )
    page = page_of()
    allowed = {
        "html",
        "head",
        "meta",
        "title",
        "link",
        "style",
        "body",
        "main",
        "header",
        "footer",
        "section",
        "nav",
        "article",
    }
    allowed |= {
        "figure",
        "figcaption",
        "img",
        "audio",
        "source",
        "details",
        "summary",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    allowed |= {
        "p",
        "h1",
        "h2",
        "h4",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "div",
        "span",
        "b",
        "i",
        "a",
        "small",
        "code",
        "pre",
        "bdi",
        "blockquote",
    }
    allowed |= {"svg", "line", "circle", "rect", "text", "polyline"}
    assert {tag for tag, _ in page.tags} <= allowed
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")], (tag, attrs)
        for name in ("href", "src"):
            assert re.match(r"data:(image/webp|audio/mpeg|,)|#g\d|$", attrs.get(name) or ""), attrs
    assert page.text.count("<script>alert(1)</script>") >= 6
    assert "{{7*7}}" in page.text


def test_the_policy_of_the_page_forbids_everything_but_styles_pictures_and_sound(
    collect, say, started, page_of
):
    collect(say(), store=started)
    (policy,) = [
        m["content"]
        for m in page_of().every("meta")
        if m.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert (rules["media-src"], rules["img-src"], rules["style-src"]) == (
        "data:",
        "data:",
        "'unsafe-inline'",
    )
    assert "script-src" not in rules


def test_odd_characters_do_not_stop_the_page(collect, say, started, page_of):
    collect('\ud800\x00\x1b[31m{"prompt": "bell \u202e live"}', "\udfff", store=started)
    page = page_of()
    assert "bell \u202e live" in page.source
    # Each text a model wrote is isolated, so that its direction marks end where it ends.
    assert re.search(r"<bdi>bell \u202e live</bdi>", page.source)


def test_a_shared_clip_is_embedded_once_and_refers_to_its_original(collect, say, started, page_of):
    collect(say(), say(), store=started)
    page = page_of()
    assert len(page.every("audio")) == 1
    assert "Asks for the same as g00000-r0" in page.text


@pytest.mark.parametrize("options", [{"max_clips": 1}, {"max_bytes": 1_000}])
def test_beyond_the_limit_the_page_refers_to_files_and_says_so(
    collect, say, started, page_of, options
):
    collect(say(prompt="bell"), say(prompt="rain"), store=started)
    page = page_of(**options)
    assert "too large for one file" in page.text
    sources = [attrs["src"] for attrs in (*page.every("source"), *page.every("img"))]
    assert len(sources) == 4
    assert all((started.folder / source).is_file() for source in sources)
    assert len(page.source) < 80_000
    assert "too large" not in page_of().text


def test_a_lost_sound_is_told(collect, say, started, page_of):
    collect(say(prompt="bell"), say(prompt="rain"), store=started)
    first, second = sorted((started.folder / "audio").iterdir())
    first.unlink()
    second.write_bytes(b"fLaC damaged")
    assert page_of().text.count("the sound file is missing or damaged") == 2


def test_a_run_without_any_group_still_has_a_page(started, page_of):
    assert "No group is finished yet" in page_of().text


def test_a_group_without_any_reward_still_has_a_page(
    collect, started, page_of, say, judge, monkeypatch
):
    def broken(*_, **__):
        raise ValueError("scorer broke")

    monkeypatch.setattr(judge, "judge", broken)
    collect(say(), say(prompt="bell"), store=started)
    assert "scorer broke" in page_of().text


def test_an_empty_clip_has_no_player(collect, say, started, page_of):
    class Empty(SynthBackend):
        def _one(self, request):
            return Clip(request, Audio(np.zeros((1, 0), np.float32), 16_000), 0.0)

    from audioforge.reward_functions.combined_reward import CombinedReward

    collect(say(), store=started, backend=Empty(), reward=CombinedReward())
    assert page_of().every("audio") == []


def test_a_folder_without_a_run_is_one_clear_error(tmp_path):
    with pytest.raises(StoreError, match="holds no run"):
        write_report(tmp_path)


@pytest.mark.parametrize("rate", [*MP3_RATES, 96_000, 17_000])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_mp3_decodes_to_the_same_tone(rate, channels):
    decoded, made_rate = sf.read(io.BytesIO(mp3_bytes(tone(rate, channels))), always_2d=True)
    assert made_rate == (rate if rate in MP3_RATES else 44_100)
    assert decoded.shape[1] == min(channels, 2) if channels < 3 else decoded.shape[1] == 1
    spectrum = np.abs(np.fft.rfft(decoded[:, 0]))
    assert np.fft.rfftfreq(len(decoded), 1 / made_rate)[spectrum.argmax()] == pytest.approx(
        1_000, rel=0.02
    )


def test_the_picture_shows_low_notes_low_and_time_from_left_to_right():
    low, high = mel_db(tone(hz=200)), mel_db(tone(hz=4_000))
    assert low.mean(1).argmax() < high.mean(1).argmax()
    late = np.concatenate([np.zeros(8_000), tone().samples[0]])
    loud = mel_db(Audio(late[None].astype(np.float32), 16_000)).max(0)
    assert loud[: len(loud) // 3].max() < loud[len(loud) // 2 + 20 :].min()


@pytest.mark.parametrize(
    "audio", [tone(), tone(44_100, 2), tone(8_000), tone(seconds=0.002), tone(96_000)]
)
def test_the_picture_is_a_small_webp(audio):
    content = spectrogram_bytes(audio)
    assert Image.open(io.BytesIO(content)).size == PICTURE_SIZE
    assert len(content) < 20_000


def test_silence_is_a_dark_picture():
    picture = Image.open(
        io.BytesIO(spectrogram_bytes(Audio(np.zeros((1, 8_000), np.float32), 16_000)))
    )
    assert np.asarray(picture).max() < 20


def test_plots_have_a_description_and_survive_one_point():
    for drawing in (
        plots.strip("by x", {"a<b": [0.5], "empty": []}),
        plots.bars("parts", {"p": [0.0, 1.0]}),
        plots.scatter("steps", [(8.0, 0.5)], "steps"),
        plots.scatter("steps", [(float(n), n / 100) for n in range(100)], "steps"),
        plots.course("run", [[0.5], [], [0.1, 0.2]]),
        plots.course("run", [[0.5]]),
    ):
        assert 'role="img"' in drawing
        assert "nan" not in drawing
        assert "a<b" not in drawing


def test_embedded_sound_is_the_stored_clip(collect, say, started, page_of):
    group = collect(say(prompt="bell", seconds_total=1.0), store=started)
    (source,) = page_of().every("source")
    sound, rate = sf.read(io.BytesIO(base64.b64decode(source["src"].split(",", 1)[1])))
    clip = group.audios[0]
    assert rate == clip.sample_rate
    assert len(sound) == pytest.approx(clip.samples.shape[1], abs=4 * 1_152)
