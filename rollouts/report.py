"""report.html: a run as one page to look at and listen to.

Self-contained and without any script: sounds are MP3, pictures WebP, plots inline SVG, all in the
file. Beyond MAX_CLIPS clips or MAX_BYTES the page refers to the run folder's own files instead, and
says so. All text is escaped by the template and a Content-Security-Policy forbids everything but
styles, pictures and sound.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audioforge.data.families import CATEGORIES
from audioforge.rollouts import report_plots as plots
from audioforge.rollouts.record import Rollout
from audioforge.rollouts.report_media import LOW_HZ, data_uri, mp3_bytes, spectrogram_bytes, top_hz
from audioforge.rollouts.report_view import Media, figure, group_view, title_words
from audioforge.rollouts.store import RunStore, write_checked
from audioforge.rollouts.tables import category_table
from audioforge.utils.audio_processing import Audio, read_audio

REPORT_FILE, PICTURE_FOLDER = "report.html", "pictures"
MAX_CLIPS = 200
MAX_BYTES = 40 * 2**20
"""Of sounds and pictures as they lie in the page."""
TEMPLATES = Path(__file__).resolve().parent / "templates"

Group = tuple[Rollout, ...]


def write_report(
    folder: str | Path, *, max_clips: int = MAX_CLIPS, max_bytes: int = MAX_BYTES
) -> Path:
    """Write the page of a run.

    Args:
        folder: the run folder.
        max_clips: beyond so many clips the page refers to files.
        max_bytes: beyond so many bytes of sound and picture, too.

    Returns:
        The path of report.html in the run folder.

    Raises:
        StoreError: the folder holds no readable run, or cannot be written.
    """
    store = RunStore(folder)
    run = store.run_facts()
    groups = list(store.groups())
    media, embedded = _media(store, groups, max_clips, max_bytes)
    page = _template().render(
        run_name=store.folder.resolve().name,
        groups=[group_view(group, media) for group in groups],
        embedded=embedded,
        numbers=_numbers(groups),
        facts=_run_facts(run, groups),
        table=category_table(rollout for group in groups for rollout in group),
        plots=_plots(groups),
        sparkline=plots.sparkline,
        figure=figure,
        title_words=title_words,
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
    )
    path = store.folder / REPORT_FILE
    write_checked(path, page.encode("utf-8", "replace"))
    return path


def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _media(
    store: RunStore, groups: Sequence[Group], max_clips: int, max_bytes: int
) -> tuple[dict[str, Media], bool]:
    """Return sound and picture by sha256, and whether they lie in the page."""
    paths = {
        r.clip.sha256: r.clip.path
        for group in groups
        for r in group
        if r.clip is not None and r.clip.path
    }
    if len(paths) <= max_clips:
        found: dict[str, Media] = {}
        size = 0
        for sha256, path in paths.items():
            found[sha256] = _embedded(store.folder / path)
            size += len(found[sha256].audio) + len(found[sha256].picture)
            if size > max_bytes:
                break
        else:
            return found, True
    (store.folder / PICTURE_FOLDER).mkdir(exist_ok=True)
    return {sha256: _referred(store.folder, sha256, path) for sha256, path in paths.items()}, False


def _embedded(path: Path) -> Media:
    audio = _playable(path)
    if audio is None:
        return Media(caption="the sound file is missing or damaged")
    return Media(
        audio=data_uri(mp3_bytes(audio), "audio/mpeg"),
        audio_type="audio/mpeg",
        picture=data_uri(spectrogram_bytes(audio), "image/webp"),
        caption=_caption(audio),
    )


def _referred(folder: Path, sha256: str, path: str) -> Media:
    audio = _playable(folder / path)
    if audio is None:
        return Media(caption="the sound file is missing or damaged")
    picture = f"{PICTURE_FOLDER}/{sha256}.webp"
    if not (folder / picture).exists():
        write_checked(folder / picture, spectrogram_bytes(audio))
    return Media(audio=path, audio_type="audio/flac", picture=picture, caption=_caption(audio))


def _playable(path: Path) -> Audio | None:
    try:
        audio = read_audio(path)
    except ValueError:
        return None
    return audio if audio.samples.shape[1] else None


def _caption(audio: Audio) -> str:
    kilohertz = f"{top_hz(audio) / 1000:g}"
    channels = {1: "mono", 2: "stereo"}.get(audio.channels, f"{audio.channels} channels")
    return f"{audio.seconds:.1f} s, {LOW_HZ:g} Hz to {kilohertz} kHz, {channels}"


def _numbers(groups: Sequence[Group]) -> dict[str, Any]:
    """Return the figures of the header."""
    rollouts = [rollout for group in groups for rollout in group]
    rewards = [r.reward for r in rollouts if r.reward is not None]
    counts = {
        name: sum(r.outcome == name for r in rollouts)
        for name in ("scored", "unparsable", "dropped")
    }
    best = max(
        (r for r in rollouts if r.reward is not None), key=lambda r: r.reward or 0.0, default=None
    )
    spreads = [
        max(known) - min(known)
        for g in groups
        if len(known := [r.reward for r in g if r.reward is not None]) > 1
    ]
    return counts | {
        "groups": len(groups),
        "rollouts": len(rollouts),
        "clips": len({r.clip.sha256 for r in rollouts if r.clip is not None}),
        "repaired": sum(bool(r.issues) and r.action is not None for r in rollouts),
        "mean": figure(statistics.fmean(rewards)) if rewards else "\N{EN DASH}",
        "best": figure(max(rewards)) if rewards else "\N{EN DASH}",
        "best_id": best.id if best is not None else "",
        "spread": figure(statistics.fmean(spreads)) if spreads else "\N{EN DASH}",
        "rewards": rewards,
    }


def _run_facts(run: Mapping[str, Any], groups: Sequence[Group]) -> list[tuple[str, str]]:
    """Return what the run was, as pairs of words."""
    config, facts = run["config"], run["facts"]
    versions = facts.get("versions") or {}
    charges = [r.cost["charge"] for group in groups for r in group if r.cost]
    mean_charge = f"{statistics.fmean(charges):.3f} of a reward on average" if any(charges) else ""
    pairs = [
        ("Language model", config.get("policy")),
        ("Generator", config.get("model")),
        ("Weights", str(config.get("weights_sha256", ""))[:16]),
        ("Licence", facts.get("model_licence")),
        ("Targets", config.get("targets")),
        ("Plan", f"{config.get('groups')} groups of {config.get('group_size')}"),
        ("Seed", config.get("seed")),
        ("Charged for cost", mean_charge),
        ("Started", facts.get("started")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]
    if not groups:
        pairs.append(("Finished", "no group yet"))
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]


def _plots(groups: Sequence[Group]) -> list[tuple[str, str, Any]]:
    """Return the summary plots as (title, explanation, SVG)."""
    answers = [(one, one.reward) for group in groups for one in group if one.reward is not None]
    judged = [(one, one.request, reward) for one, reward in answers if one.request is not None]
    if not judged:
        return []
    category: dict[str, list[float]] = {name: [] for name in CATEGORIES}
    part: dict[str, list[float]] = defaultdict(list)
    sampler: dict[str, list[float]] = defaultdict(list)
    for answer, reward in answers:
        category.setdefault(answer.target["category"], []).append(reward)
    for rollout, request, reward in judged:
        sampler[request.sampler].append(reward)
        for name, score in rollout.report.parts.items() if rollout.report else ():
            if score.scored:
                part[title_words(name)].append(score.value)
    steps = [(float(request.steps), reward) for _, request, reward in judged]
    cfg = [(float(request.cfg_scale), reward) for _, request, reward in judged]
    course = [[r.reward for r in group if r.reward is not None] for group in groups]
    kinds = {name: f"cat-{name}" for name in CATEGORIES}
    by_category = plots.strip("Reward by category", category, kinds)
    by_sampler = plots.strip("Reward by sampler", dict(sorted(sampler.items())))
    mark, line = "the mark their mean", "line through the means"
    return [
        ("By category", f"each dot an answer, {mark}", by_category),
        ("Parts of the reward", "mean, and the range as a line", plots.bars("Mean per part", part)),
        ("Over the run", f"groups in order, {line}", plots.course("Reward per group", course)),
        ("Steps", line, plots.scatter("Reward against sampler steps", steps, "steps")),
        ("Guidance", line, plots.scatter("Reward against cfg scale", cfg, "cfg scale")),
        ("Sampler", f"each dot a clip, {mark}", by_sampler),
    ]
