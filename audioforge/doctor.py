"""What `audioforge doctor` finds out: which parts are usable here, why not, and what to install."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

LOW_DISK_GB = 2.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    area: str
    name: str
    usable: bool
    facts: str
    """What was found, or why it is not usable."""
    remedy: str = ""
    """The command or setting that helps; empty where nothing need be done."""

    def to_json(self) -> dict[str, str | bool]:
        """Return plain types."""
        return asdict(self)


def examine(base_url: str = "", out: Path = Path(".")) -> list[Finding]:
    """Look at machine, backends, rewards, language models and disk.

    Args:
        base_url: an OpenAI-compatible endpoint to ask for its models; empty asks none.
        out: where runs would be written.
    """
    looks: list[Callable[[], Iterator[Finding]]] = [
        _machine,
        _backends,
        _rewards,
        lambda: _policies(base_url),
        _frameworks,
        lambda: _disk(out),
    ]
    return [finding for look in looks for finding in look()]


def _machine() -> Iterator[Finding]:
    import torch

    yield Finding("machine", "python", True, f"{platform.python_version()}, {os.cpu_count()} cores")
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        facts = f"{torch.cuda.get_device_name()}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free"
        yield Finding("machine", "gpu", True, facts)
    else:
        yield Finding(
            "machine",
            "gpu",
            False,
            f"torch {torch.__version__} sees none; the embedded models need none",
        )


def _backends() -> Iterator[Finding]:
    from audioforge.generation.registry import EMBEDDED, load_backend

    for name in ("synth", *EMBEDDED):
        try:
            can = load_backend(name, "cpu").capabilities
        except (ValueError, ImportError, OSError) as error:
            remedy = "make install" if isinstance(error, ImportError) else "reinstall AudioForge"
            yield Finding("backend", name, False, str(error), remedy)
        else:
            sound = f"{can.sample_rate} Hz, {can.channels} channel(s), up to {can.max_seconds:g} s"
            facts = f"{sound}, licence {can.licence}"
            yield Finding("backend", name, True, facts)
    token = bool(os.environ.get("HF_TOKEN"))
    facts = "loads by hub id when asked for; " + (
        "HF_TOKEN is set" if token else "gated: HF_TOKEN is not set"
    )
    yield Finding(
        "backend",
        "stabilityai/stable-audio-open-small",
        token,
        facts,
        "" if token else "accept its licence on the hub, export HF_TOKEN",
    )


def _rewards() -> Iterator[Finding]:
    from audioforge.data.families import CATEGORIES
    from audioforge.data.references import reference_files
    from audioforge.data.word_meaning import INSTALL, meaning_folder
    from audioforge.reward_functions import REWARDS

    for name in REWARDS:
        yield Finding("reward", name, True, "ready")
    counts = {c: len(reference_files(c)) for c in CATEGORIES}
    facts = ", ".join(f"{n} {c}" for c, n in counts.items())
    missing = "" if all(counts.values()) else "python -m audioforge.generation.render_references"
    yield Finding("reward", "style references", not missing, facts, missing)
    there = meaning_folder() is not None
    facts = "installed, used where asked for" if there else "optional, not installed"
    yield Finding("reward", "meaning of free words", there, facts, "" if there else INSTALL)


def _policies(base_url: str) -> Iterator[Finding]:
    from audioforge.policy.embedded import EMBEDDED_FOLDER, EMBEDDED_MODEL

    there = (EMBEDDED_FOLDER / "model.safetensors").is_file()
    remedy = "" if there else "python -m audioforge.policy.train_sft"
    yield Finding(
        "policy",
        EMBEDDED_MODEL,
        there,
        "ships with AudioForge" if there else "weights are missing",
        remedy,
    )
    if base_url:
        yield _endpoint(base_url)


def _endpoint(base_url: str) -> Finding:
    import httpx

    if urlsplit(base_url).scheme not in ("http", "https"):
        return Finding(
            "policy",
            base_url,
            False,
            "not an http(s) URL",
            "give one such as http://127.0.0.1:8000/v1",
        )
    key = os.environ.get("OPENAI_API_KEY", "none")
    try:
        answer = httpx.get(
            f"{base_url.rstrip('/')}/models",
            timeout=5.0,
            headers={"Authorization": f"Bearer {key}"},
        )
        answer.raise_for_status()
        names = [str(m["id"]) for m in answer.json()["data"]]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        reason = type(error).__name__ if not str(error) else str(error).splitlines()[0]
        return Finding(
            "policy", base_url, False, reason, "check the URL, the server, and OPENAI_API_KEY"
        )
    return Finding("policy", base_url, True, "serves " + ", ".join(names[:5]))


def _frameworks() -> Iterator[Finding]:
    for name in ("atroposlib", "wandb"):
        there = importlib.util.find_spec(name) is not None
        yield Finding(
            "framework",
            name,
            there,
            "installed" if there else "not installed",
            "" if there else "pip install -r requirements.txt",
        )


def _disk(out: Path) -> Iterator[Finding]:
    place = out.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    enough = free >= LOW_DISK_GB
    yield Finding(
        "machine",
        "disk",
        enough,
        f"{free:.1f} GB free",
        "" if enough else f"free {LOW_DISK_GB:g} GB, or write elsewhere",
    )
