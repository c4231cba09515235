"""Write docs/performance.md, tables and plots, from the results that are committed.

    python benchmarks/report.py [--results FOLDER] [--page FILE]

Reads `benchmarks/results/<name>-<device>.json`. Nothing is measured here, and what has not been
measured has no section.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from report_sections import SECTIONS, Section

ROOT = Path(__file__).resolve().parents[1]
FIGURES = "figures"
_HEAD = """# Performance

Written by `python benchmarks/report.py` from `benchmarks/results/`; do not edit. Each section names
device and command; ratios were measured side by side in one run. `cpu` is a virtual machine with
two cores, float32.
"""


def figure(value: Any) -> str:
    """Write a figure for a table."""
    if value is None:
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {figure(inner)}" for name, inner in value.items())
    return f"{value:,.4g}".replace(",", " ") if isinstance(value, int | float) else str(value)


def found(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """Read the results of a benchmark by device."""
    named = re.compile(re.escape(name) + r"-([a-z0-9_]+)\.json")
    matches = ((named.fullmatch(path.name), path) for path in sorted(folder.glob("*.json")))
    return {match[1]: json.loads(path.read_text()) for match, path in matches if match}


def rows_of(section: Section, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping]:
    """Return the figures of a section by what names a row: the device, or model and device."""
    if not section.nested:
        return dict(results)
    return {
        f"{model}, {device}": figures
        for device, told in results.items()
        for model, figures in told.items()
        if isinstance(figures, Mapping) and set(section.columns.values()) <= set(figures)
    }


def table(section: Section, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Write a Markdown table, a row per device."""
    head = ["", *section.columns]
    body = (
        [name, *(figure(row.get(key)) for key in section.columns.values())]
        for name, row in rows.items()
    )
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def draw(section: Section, rows: Mapping[str, Mapping[str, Any]], path: Path) -> bool:
    """Draw the curves of a section, or bars where models stand side by side.

    Returns:
        Whether there was anything to draw.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    if not section.curves and not section.bars:
        return False
    drawn, axes = plt.subplots(1, len(section.curves) or 1, figsize=(8, 3), squeeze=False)
    for axis, (key, (x, y)) in zip(axes[0], section.curves.items(), strict=False):
        for row, figures in rows.items():
            axis.plot(list(figures[key]), list(figures[key].values()), marker="o", label=row)
        axis.set(xlabel=x, ylabel=y)
        axis.set_ylim(0, 1.08 * axis.get_ylim()[1])
    if section.bars:
        _bars(axes[0][0], section.bars, rows)
    for axis in axes[0]:
        axis.legend(frameon=False)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    drawn.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, dpi=110)
    plt.close(drawn)
    return True


def _bars(axis: Any, bars: tuple[str, ...], rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw groups of bars: one group per key, one bar per row."""
    width = 0.8 / len(rows)
    for place, (row, figures) in enumerate(rows.items()):
        at = [index + place * width for index in range(len(bars))]
        axis.bar(at, [figures[key] for key in bars], 0.94 * width, align="edge", label=row)
    axis.set_xticks([index + 0.4 for index in range(len(bars))], bars)
    axis.set_ylabel("clips per second")


def written(section: Section, results: dict[str, dict[str, Any]], page: Path) -> str:
    """Write one section and its picture."""
    rows = rows_of(section, results)
    picture = f"{FIGURES}/performance-{section.name}.png"
    parts = [f"## {section.title}", section.about]
    if section.columns:
        parts.append(table(section, rows))
    if draw(section, rows, page.parent / picture):
        parts.append(f"![{section.title}]({picture})")
    parts += [
        f"`{told['command']}`, {device}, {told['seconds']:.0f} s, "
        + ", ".join(f"{name} {number}" for name, number in told["versions"].items())
        + "."
        for device, told in results.items()
    ]
    return "\n\n".join(parts)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    given = parser.parse_args()
    measured = [(section, found(given.results, section.name)) for section in SECTIONS]
    parts = [written(section, results, given.page) for section, results in measured if results]
    given.page.parent.mkdir(parents=True, exist_ok=True)
    given.page.write_text("\n\n".join([_HEAD.rstrip(), *parts]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
