"""Red team: does a scorer pay what no listener would?

    python -m audioforge.reward_functions.redteam [--scorer module:function] [--real FOLDER]

Makes 46 inputs that a gameable reward would pay (`redteam_inputs.py`), scores them and real music,
and prints each mark and, as the last line, one JSON object. `--extra` adds attacks of other kinds
and harmless controls (`redteam_extra.py`). Exit status 1 when one of the 46 misses its mark.

Without `--real`, the evaluation references that ship with the code stand in for real music: dry
teacher clips, so marks relative to real music mean little there.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from audioforge.reward_functions.redteam_extra import ATTACKS, CONTROLS
from audioforge.reward_functions.redteam_inputs import INPUTS, MARKS, Input, music
from audioforge.reward_functions.redteam_trial import Field, Judge, Result, compare, load
from audioforge.utils.audio_processing import Audio

OURS = "audioforge.reward_functions.redteam_trial:ours"
_QUICK_CLIPS = 7


def references() -> list[tuple[str, Audio]]:
    """Return the drums and phrases that ship with the code, each repeated to 8 s."""
    folder = Path(str(files("audioforge.data") / "evaluation_references"))
    return [pair for kind in ("drums", "phrases") for pair in music(folder / kind)]


def known_music(judge: Judge, folder: Path | None, quick: bool) -> Field:
    """Score real music, or the references where there is no folder."""
    clips = [clip for _, clip in (music(folder) if folder else references())]
    if quick:
        clips = [clips[i] for i in np.linspace(0, len(clips) - 1, _QUICK_CLIPS).astype(int)]
    scores = [judge(clip) for clip in track(clips, "real music" if folder else "references")]
    if any(map(math.isnan, scores)):
        raise ValueError(f"the scorer must give a finite number for music: {judge.last_error}")
    return Field(clips, scores)


def mark_of(each: Input, known: Field) -> str:
    """Put a mark in words and numbers."""
    if each.mark in MARKS:
        return f"<= {MARKS[each.mark]}"
    if each.mark == "below p25":
        return f"< {known.lower_quarter:.2f} (p25)"
    if each.mark == "unpaid":
        return f"<= {known.median:.2f} (median) or original"
    return "as original"


def show(console: Console, title: str, results: Sequence[Result], known: Field) -> None:
    """Print one table."""
    table = Table("#", "input", "score", "mark", "pass", title=title)
    for number, result in enumerate(results, 1):
        spread = f" ({np.min(result.scores):.2f})" if len(result.scores) > 1 else ""
        met = f"{sum(result.passes)} of {len(result.passes)}"
        verdict = "yes" if result.passed else "[bold red]no[/]" + (f", {met}" if spread else "")
        table.add_row(
            str(number),
            result.input.name,
            f"{result.worst:.2f}{spread}",
            mark_of(result.input, known),
            verdict,
        )
    console.print(table)


def tally(results: Sequence[Result]) -> dict[str, str]:
    """Count clips that met their mark, by kind of mark, as "met of all"."""
    counts: dict[str, tuple[int, int]] = {}
    for result in results:
        met, total = counts.get(result.input.mark, (0, 0))
        counts[result.input.mark] = (met + sum(result.passes), total + len(result.passes))
    return {mark: f"{met} of {total}" for mark, (met, total) in counts.items()}


def facts(judge: Judge, results: Sequence[Result], known: Field) -> dict[str, Any]:
    """Return the numbers of the last line; what is made from music counts on the first base."""
    first = {r.input.name: r.scores[0] for r in results}
    return {
        "passed": sum(r.passed for r in results),
        "total": len(results),
        "best_adversarial": _rounded(max(v for v in first.values() if not math.isnan(v))),
        "median_real": _rounded(known.median),
        "p25_real": _rounded(known.lower_quarter),
        "nonfinite": judge.nonfinite,
        "exceptions": judge.exceptions,
        "missed": [r.input.name for r in results if not r.passed],
        "clips_met": tally(results),
        "scores": {name: _rounded(v) for name, v in first.items()},
    }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--scorer", default=OURS, help="module:function, see redteam_trial.py")
    options.add_argument("--real", type=Path, help="folder of real music, or with manifest.json")
    options.add_argument("--bases", type=int, default=4, help="pieces that altered inputs are of")
    options.add_argument("--extra", action="store_true", help="also other attacks and controls")
    options.add_argument("--quick", action="store_true", help="one base and little music")
    options.add_argument("--out", type=Path, help="also write the JSON object to this file")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite and return the exit status."""
    began, words = time.perf_counter(), sys.argv[1:] if arguments is None else list(arguments)
    options, console = parser().parse_args(words), Console()
    judge = Judge(load(options.scorer))
    known = known_music(judge, options.real, options.quick)
    count = 1 if options.quick else max(options.bases, 1)
    whose = "real music" if options.real else "the evaluation references, not real music"
    console.print(f"marks relative to {whose}: {len(known.clips)} clips")

    def run(inputs: Sequence[Input], title: str) -> list[Result]:
        results = list(track(compare(judge, known, inputs, count), title, total=len(inputs)))
        show(console, f"{title}, the highest (lowest) of {count} base clips", results, known)
        return results

    results = run(INPUTS, "46 adversarial inputs")
    told = facts(judge, results, known)
    if options.extra:
        told["extra"] = tally([*run(ATTACKS, "other attacks"), *run(CONTROLS, "controls")])
        told |= {"nonfinite": judge.nonfinite, "exceptions": judge.exceptions}
    if judge.last_error:
        console.print(f"the scorer raised {judge.exceptions} times, last: {judge.last_error}")
    told |= {
        "scorer": options.scorer,
        "real": options.real.name if options.real else "evaluation references",
        "real_clips": len(known.clips),
        "bases": count,
        "device": "cpu",
        "versions": {n: version(n) for n in ("numpy", "scipy", "soundfile", "soxr")}
        | {"python": platform.python_version()},
        "command": " ".join(["python -m audioforge.reward_functions.redteam", *words]),
        "seconds": round(time.perf_counter() - began, 1),
    }
    line = json.dumps(told, allow_nan=False)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(line + "\n", encoding="utf-8")
    sys.stdout.write(line + "\n")
    return int(told["passed"] < told["total"])


if __name__ == "__main__":
    sys.exit(main())
