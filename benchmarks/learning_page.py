"""A page to listen to: the same held-out targets, answered before and after the training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from learning_measures import Hall, Heard

from audioforge.data.families import CATEGORIES
from audioforge.data.targets import Target
from audioforge.rollouts.report_media import data_uri, mp3_bytes, spectrogram_bytes

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>AudioForge: before and after</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; media-src data:; img-src data:; style-src 'unsafe-inline'">
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h2 { font-size: 1.05rem; margin: 2.2rem 0 .6rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1.2rem; }
@media (max-width: 44rem) { .pair { grid-template-columns: 1fr; } }
figure { margin: 0; border: 1px solid #8884; border-radius: 8px; padding: .8rem; }
img, audio { width: 100%; display: block; margin-top: .5rem; border-radius: 4px; }
b { float: right; font-variant-numeric: tabular-nums; }
small { color: #888; }
</style></head><body>
<h1>Before and after</h1>
<p>Held-out targets, answered by the shipped policy and by the trained one (seed 0). For each
category this is the target whose gain is the median of its category: neither the best nor the
worst case. The clips start from the same noise; the figure is the reward.</p>
{% for row in rows %}
<h2>{{ row.category }}: {{ row.target }}</h2>
<div class="pair">
{% for side in row.sides %}
<figure><b>{{ "%.2f"|format(side.reward) }}</b>{{ side.name }}: <q>{{ side.prompt }}</q><br>
<small>{{ side.settings }}</small>
{% if side.audio %}<img alt="spectrogram" src="{{ side.picture }}">
<audio controls preload="none" src="{{ side.audio }}"></audio>{% endif %}</figure>
{% endfor %}
</div>
{% endfor %}
</body></html>
"""


def write_page(
    hall: Hall, rows: tuple[Sequence[Target], Sequence[Any], Sequence[Any]], path: Path
) -> None:
    """Write the page.

    Args:
        hall: makes the clips again.
        rows: targets, and what was heard of each before and after.
        path: of the page.
    """
    shown = [_row(hall, *chosen) for chosen in medians(*rows)]
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(_PAGE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page.render(rows=shown), encoding="utf-8")


def medians(
    targets: Sequence[Target], before: Sequence[Any], after: Sequence[Any]
) -> list[tuple[Target, Heard, Heard]]:
    """Return, per category, the target of median gain and its first answers."""
    found = []
    for category in CATEGORIES:
        pairs = [
            (one[0].reward - other[0].reward, place)
            for place, (target, one, other) in enumerate(zip(targets, after, before, strict=True))
            if target.category == category
        ]
        if pairs:
            place = sorted(pairs)[len(pairs) // 2][1]
            found.append((targets[place], before[place][0], after[place][0]))
    return found


def _row(hall: Hall, target: Target, before: Heard, after: Heard) -> dict[str, Any]:
    sides = [_side(hall, target, "before", before), _side(hall, target, "after", after)]
    return {"category": target.category, "target": target.target_description, "sides": sides}


def _side(hall: Hall, target: Target, name: str, heard: Heard) -> dict[str, Any]:
    audio = hall.clip(target, heard.text)
    settings = f"{heard.steps} steps, cfg {heard.cfg_scale}, {heard.sampler}"
    return {
        "name": name,
        "prompt": heard.prompt or heard.text,
        "settings": settings if audio else "no action could be read",
        "reward": heard.reward,
        "audio": data_uri(mp3_bytes(audio), "audio/mpeg") if audio else "",
        "picture": data_uri(spectrogram_bytes(audio), "image/webp") if audio else "",
    }
