"""Our MusicGen decoding against transformers' `generate`: same weights, texts, lengths, settings.

    python benchmarks/musicgen.py [--quick] [--out FILE] [--geometry tiny|small] [--device cuda]

From text to sound, cfg 3, every token drawn, one prompt per clip; the two take turns in one run.
`generate` runs as its documentation shows it, in bfloat16 on CUDA, where ours is in bfloat16 too.

- speedup: {batch: seconds of generate over ours}, medians of the rounds.
- decoding_speedup: the same without EnCodec, which both call alike.
- clips_per_s, seconds_of_sound_per_s: of ours, {batch: value}.
- greedy_equal: whether our batch at temperature 0 gave the tokens of generate's solo calls, {batch:
  value}; float32 only. (generate's own batches differ from its solo calls by a few last tokens.)
- bandwidth_fraction: {batch: the time reading weights and cache once a step would take at the
  bandwidth a large copy reaches, over our time}; null on a CPU.

Geometry tiny is data/models/tiny-musicgen; small is the design of facebook/musicgen-small with
random weights.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from _common import Benchmark
from rich.progress import track

from audioforge.generation.musicgen import MusicgenBackend
from audioforge.generation.musicgen_load import Loaded, describe, load
from audioforge.generation.registry import embedded_folder
from audioforge.generation.request import GenerationRequest
from audioforge.generation.sat_imports import quiet

MODEL = "tiny-musicgen"
BATCHES = (1, 8, 32)
PROMPTS = [
    f"{mood} {what}"
    for mood in ("soft", "bright", "deep", "slow")
    for what in ("drum loop", "pad", "bell", "bass line", "rain", "siren", "chord", "melody")
]
CFG = 3.0


def small_model() -> Any:
    """Build a MusicGen of the small design with random weights."""
    import transformers

    size = 2_048
    codec = transformers.EncodecConfig(
        sampling_rate=32_000,
        num_filters=64,
        codebook_size=size,
        upsampling_ratios=[8, 5, 4, 4],
        use_causal_conv=False,
        target_bandwidths=[2.2],  # kbit/s: four codebooks
    )
    text = transformers.T5Config(d_model=768, d_kv=64, d_ff=3_072, num_layers=12, num_heads=12)
    decoder = transformers.MusicgenDecoderConfig(
        vocab_size=size, pad_token_id=size, bos_token_id=size
    )
    config = transformers.MusicgenConfig(
        text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict()
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: Any = transformers.MusicgenForConditionalGeneration(config)
        for layer in model.audio_encoder.quantizer.layers:
            layer.codebook.embed.normal_()
    chosen = model.generation_config
    chosen.decoder_start_token_id = chosen.pad_token_id = chosen.bos_token_id = size
    return model.eval().requires_grad_(False)


def word_tokenizer() -> Any:
    """Return a tokenizer of the words of PROMPTS."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", *dict.fromkeys(" ".join(PROMPTS).split())]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", unk_token="<unk>")


def loaded_of(geometry: str, device: str) -> Loaded:
    """Return the model to measure."""
    if geometry == "tiny":
        return load(str(embedded_folder(MODEL)), MODEL, device)
    with quiet():
        model, tokenizer = small_model().to(device), word_tokenizer()
    if device == "cuda":
        model.decoder.to(torch.bfloat16)
    return Loaded(
        model, tokenizer, *describe(model, "random weights, small", {}), weights_sha256=""
    )


class Stock:
    """transformers' own generate, on a copy of the weights as it lays them out."""

    def __init__(self, loaded: Loaded) -> None:
        self._tokenizer = loaded.tokenizer
        self._model = copy.deepcopy(loaded.model)
        if self._model.device.type == "cuda":
            self._model.to(torch.bfloat16)

    def play(self, texts: list[str], frames: int, *, greedy: bool = False) -> torch.Tensor:
        """Return tokens [clips, codebooks, frames]."""
        captured: list[torch.Tensor] = []
        decode = self._model.audio_encoder.decode
        self._model.audio_encoder.decode = lambda codes, **_: (
            captured.append(codes) or decode(codes[..., :1], [None])
        )
        try:
            self._run(texts, frames, greedy)
        finally:
            self._model.audio_encoder.decode = decode
        return captured[0][0]

    def sound(self, texts: list[str], frames: int) -> None:
        """Make clips from text to sound."""
        self._run(texts, frames, greedy=False)

    def _run(self, texts: list[str], frames: int, greedy: bool) -> None:
        told = self._tokenizer(texts, padding=True, return_tensors="pt")
        config = self._model.config.decoder
        with quiet(), torch.random.fork_rng():
            self._model.generate(
                input_ids=told["input_ids"].to(self._model.device),
                attention_mask=told["attention_mask"].to(self._model.device),
                do_sample=not greedy,
                top_k=0,
                guidance_scale=CFG,
                max_new_tokens=frames + config.num_codebooks // config.audio_channels - 1,
            )


def prompts(batch: int) -> list[str]:
    """Return one prompt per clip."""
    return [PROMPTS[i % len(PROMPTS)] for i in range(batch)]


def requests(batch: int, seconds: float, temperature: float = 1.0) -> list[GenerationRequest]:
    """Return one request per clip."""
    return [
        GenerationRequest(prompt, seconds, i, 1, CFG, "sample", temperature=temperature)
        for i, prompt in enumerate(prompts(batch))
    ]


def timed(work: Callable[[], object], cuda: bool) -> float:
    """Return how many seconds something takes."""
    if cuda:
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def medians(works: dict[str, Callable[[], object]], rounds: int, cuda: bool) -> dict[str, float]:
    """Let works take turns after a first run that is not counted; median seconds of each."""
    for work in works.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(timed(work, cuda))
    return {name: statistics.median(times) for name, times in taken.items()}


def least_seconds(backend: MusicgenBackend, batch: int, frames: int) -> float:
    """Return how long reading weights and cache once a step takes at copying speed (CUDA)."""
    block = torch.empty(1 << 28, dtype=torch.uint8, device="cuda")
    copy = medians({"copy": lambda: block.clone()}, 10, cuda=True)["copy"]
    bytes_per_s = 2 * block.numel() / copy
    decoder = backend.model.decoder
    size = next(decoder.parameters()).element_size()
    weights = sum(p.numel() for p in decoder.parameters()) * size
    config = decoder.config
    position = 2 * batch * 2 * config.num_hidden_layers * config.hidden_size * size
    steps = frames + max(backend.decoder.delays)
    return (steps * weights + position * steps * (steps + 1) / 2) / bytes_per_s


def compare(backend: MusicgenBackend, stock: Stock, batch: int, seconds: float, rounds: int) -> Any:
    """Measure one batch size."""
    cuda = backend.device.type == "cuda"
    frames = backend.codec.frames(seconds)
    asked = requests(batch, seconds)
    works = {
        "stock": lambda: stock.sound(prompts(batch), frames),
        "ours": lambda: backend.generate(asked),
        "stock_tokens": lambda: stock.play(prompts(batch), frames),
        "our_tokens": lambda: backend.tokens(asked),
    }
    taken = medians(works, rounds, cuda)
    told = {
        "speedup": taken["stock"] / taken["ours"],
        "decoding_speedup": taken["stock_tokens"] / taken["our_tokens"],
        "clips_per_s": batch / taken["ours"],
        "seconds_of_sound_per_s": batch * seconds / taken["ours"],
    }
    if cuda:
        told["bandwidth_fraction"] = least_seconds(backend, batch, frames) / taken["our_tokens"]
    else:
        ours = backend.tokens(requests(batch, seconds, temperature=0.0))[: len(PROMPTS)]
        told["greedy_equal"] = all(
            torch.equal(item.tokens, stock.play([item.request.prompt], frames, greedy=True)[0])
            for item in ours
        )
    return told


def main() -> None:
    """Measure and print."""
    benchmark = Benchmark(__doc__)
    add = benchmark.parser.add_argument
    add("--geometry", choices=("tiny", "small"), default="tiny")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--seconds", type=float, default=None, help="length of a clip; default 3, or 0.6 quick")
    add("--rounds", type=int, default=None, help="default 5, or 1 quick")
    add("--batches", type=int, nargs="+", default=None, help="default 1 8 32, or 1 4 quick")
    options = benchmark.options()
    if options.device == "cpu":
        torch.set_num_threads(1)
    seconds = options.seconds or (0.6 if options.quick else 3.0)
    rounds = options.rounds or (1 if options.quick else 5)
    batches = options.batches or ((1, 4) if options.quick else BATCHES)
    loaded = loaded_of(options.geometry, options.device)
    stock = Stock(loaded)
    backend = MusicgenBackend(loaded, options.device)
    measured = {
        str(batch): compare(backend, stock, batch, seconds, rounds)
        for batch in track(batches, "batches")
    }
    numbers: dict[str, Any] = {
        key: {batch: one[key] for batch, one in measured.items()}
        for key in measured[str(batches[0])]
    }
    numbers.setdefault("bandwidth_fraction", None)
    numbers |= {"model": loaded.capabilities.model, "clip_seconds": seconds, "rounds": rounds}
    device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    benchmark.finish(numbers, device)


if __name__ == "__main__":
    main()
