"""verifiers: vf-eval on our taskset, against our own policy server, without an account.

python examples/verifiers_eval.py                needs: docs/adapters.md, verifiers
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from audioforge.policy.embedded import EMBEDDED_MODEL, embedded_policy

HERE = Path(__file__).resolve().parent


def evaluate(out: Path, *flags: str) -> list[dict[str, Any]]:
    """Evaluate two tasks twice; return what vf-eval recorded, a mapping per episode.

    Raises:
        RuntimeError: vf-eval failed; the message is the end of what it said.
    """
    folder = Path(sys.executable).parent
    path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    found = os.pathsep.join([str(folder), os.environ["PATH"]])  # vf-eval looks for uv there
    with embedded_policy() as url:
        words = [str(folder / "vf-eval"), "audioforge_sounds", "-n", "2", "-r", "2"]
        words += ["--env.agent.harness.id", "null", "--env.agent.runtime.type", "subprocess"]
        words += ["--model", EMBEDDED_MODEL, "--client.base-url", url]
        words += ["--client.api-key-var", "NO_KEY", "--sampling.max-tokens", "128"]
        words += ["--no-push", "--no-rich", "-o", str(out), *flags]
        environment = os.environ | {"PYTHONPATH": path, "PATH": found}
        ended = subprocess.run(words, env=environment, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"vf-eval failed: {ended.stderr[-2_000:]}")
    (traces,) = out.rglob("traces.jsonl")
    return [json.loads(line) for line in traces.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """Evaluate, and print the rewards."""
    with tempfile.TemporaryDirectory() as folder:
        for line in evaluate(Path(folder)):
            trace = line["traces"][0]
            told = trace["info"]["audioforge"]
            print(line["task"]["data"]["description"])
            print("  ", trace["rewards"]["audioforge"]["score"], told["outcome"], told["action"])


if __name__ == "__main__":
    main()
