"""A real run in its own process, to be killed: python run_in_child.py FOLDER GROUPS. Not a test."""

import json
import sys
from pathlib import Path

from audioforge.rollouts.collect import Completion
from audioforge.rollouts.run import RunConfig, RunSummary, run_rollouts


async def ask(messages, n):
    """Answer from what is asked, so that every start of a run gives the same answers."""
    wish = messages[-1]["content"]
    prompts = [wish[:80], "techno drum loop", "rain ambience", wish[:80]]
    return [
        Completion(json.dumps({"prompt": prompt, "seconds_total": 0.5})) for prompt in prompts[:n]
    ]


def config(folder: Path, groups: int) -> RunConfig:
    return RunConfig(
        out=folder, groups=groups, group_size=2, seed=3, targets="procedural", model="synth"
    )


def main() -> RunSummary:
    return run_rollouts(config(Path(sys.argv[1]), int(sys.argv[2])), ask)


if __name__ == "__main__":
    sys.stdout.write(main().line() + "\n")
