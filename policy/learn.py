"""A whole training on one machine: four processes, one command.

    python -m audioforge.policy.learn --out artifacts/learn --steps 60

Starts Atropos' API, the policy server, the environment (`audioforge_env.py serve`) and the trainer
(`policy.train_grpo`), joins them on free loopback ports, waits for the trainer and stops the rest.
What each of them says is in `--out`/logs. The same command goes on where it stopped. Arguments
after `--` go to the environment: `-- --env.categories drums --env.cost_steps 0.1`; after another
`--` they go to a second environment on the same API, which trains the same model, and so on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from audioforge.policy.embedded import EMBEDDED_FOLDER, child_environment

START_SECONDS = 180.0
STOP_SECONDS = 40.0
LOOK_SECONDS = 0.5
SEEDS_APART = 100_000
"""Between the target seeds of two environments of one training, so that they deal other targets."""


class LearnError(RuntimeError):
    """One of the four processes ended before it should; one line with its last words."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained, and how the machine is shared."""

    out: Path
    model: Path = EMBEDDED_FOLDER
    """Folder of the causal language model at the start."""
    steps: int = 60
    group_size: int = 8
    batch_size: int = 64
    """Answers per step, whole groups."""
    seed: int = 0
    threads: int = 2
    """CPU threads of the generator."""
    trainer: Sequence[str] = ()
    """More arguments of `train_grpo`."""
    environments: Sequence[Sequence[str]] = ((),)
    """More arguments of `audioforge_env.py serve`, for each environment."""

    def __post_init__(self) -> None:
        if self.batch_size % self.group_size:
            raise ValueError(
                f"batches are made of whole groups: {self.batch_size} answers cannot be made of "
                f"groups of {self.group_size}"
            )
        if not self.environments:
            raise ValueError("a training needs at least one environment")


def learn(plan: Plan) -> Path:
    """Train; return the folder of the trained model.

    Raises:
        LearnError: a process ended before it should.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    with _processes(plan.out / "logs") as start:
        api, policy = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
        start("api", [_script("run-api"), "--host", "127.0.0.1", "--port", api.rpartition(":")[2]])
        start("policy", _policy_command(plan, policy))
        _wait_for(f"{api}/info", start.check)
        _wait_for(f"{policy}/health", start.check)
        trainer = start("trainer", _trainer_command(plan, api, policy))
        for place in range(len(plan.environments)):
            command = _serve_command(plan, place, api, policy)
            start(_name(place), command, threads=plan.threads)
        while trainer.poll() is None:
            time.sleep(LOOK_SECONDS)
            start.check()
        if trainer.returncode:
            raise LearnError(start.words("trainer"))
    return plan.out / "train" / "model"


def _policy_command(plan: Plan, url: str) -> list[str]:
    return [
        *_python("audioforge.policy.server"),
        *("--model", str(plan.model), "--name", plan.model.name, "--threads", "1"),
        *("--port", url.rpartition(":")[2], "--weights-under", str(plan.out)),
    ]


def _trainer_command(plan: Plan, api: str, policy: str) -> list[str]:
    return [
        *_python("audioforge.policy.train_grpo"),
        *("--model", str(plan.model), "--api", api, "--server", policy),
        *("--out", str(plan.out / "train"), "--steps", str(plan.steps)),
        *("--batch", str(plan.batch_size), "--seed", str(plan.seed), "--threads", "1"),
        *plan.trainer,
    ]


def _name(place: int) -> str:
    """Return what an environment's log and folder are called."""
    return f"serve_{place}" if place else "serve"


def _serve_command(plan: Plan, place: int, api: str, policy: str) -> list[str]:
    seed = plan.seed + SEEDS_APART * place  # or all environments would ask for the same targets
    return [
        *_python("audioforge_env"),
        *("serve", "--env.rollout_server_url", api, "--env.out", str(plan.out / _name(place))),
        *("--openai.base_url", f"{policy}/v1", "--openai.model_name", plan.model.name),
        *("--openai.server_type", "vllm", "--openai.tokenizer_name", str(plan.model)),
        *("--env.group_size", str(plan.group_size), "--env.run_seed", str(seed)),
        *("--env.max_batches_offpolicy", "1", "--env.use_wandb", "false"),
        *plan.environments[place],
    ]


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _script(name: str) -> str:
    """Find a command of this Python's environment."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise LearnError(f"{name} is missing: pip install -r requirements.txt")
    return found


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that nothing listens on now; it is not reserved."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, check: Callable[[], None]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        check()
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(LOOK_SECONDS)
    raise LearnError(f"{url} did not answer within {START_SECONDS:g} s")


class _Processes:
    """The processes of one training, each with a log."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def __call__(
        self, name: str, command: Sequence[str], threads: int = 1
    ) -> subprocess.Popen[bytes]:
        environment = child_environment() | {"OMP_NUM_THREADS": str(threads)}
        with open(self.logs / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # an interrupt at the keyboard is ours to hand on
            )
        return self.running[name]

    def check(self) -> None:
        """Raise LearnError when a process other than the trainer has ended."""
        for name, process in self.running.items():
            if name != "trainer" and process.poll() is not None:
                raise LearnError(self.words(name))

    def words(self, name: str) -> str:
        """Say what a process said last."""
        lines = (self.logs / f"{name}.log").read_text("utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
        return f"{name} ended early ({self.logs / name}.log): {last[:300]}"

    def stop(self) -> None:
        """Ask all to end, the trainer first and the services last, and make sure that they do."""
        deadline = time.monotonic() + STOP_SECONDS
        for name in sorted(self.running, key=lambda name: name in ("policy", "api")):
            process = self.running[name]
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(max(deadline - time.monotonic(), 1))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def _processes(logs: Path) -> Iterator[_Processes]:
    logs.mkdir(parents=True, exist_ok=True)
    processes = _Processes(logs)
    try:
        yield processes
    finally:
        processes.stop()


def _split(arguments: Sequence[str]) -> list[list[str]]:
    """Cut at every `--`."""
    parts: list[list[str]] = [[]]
    for argument in arguments:
        if argument == "--":
            parts.append([])
        else:
            parts[-1].append(argument)
    return parts


def main() -> None:
    """Train; the arguments are in `--help`."""
    ours, *others = _split(sys.argv[1:])
    parser = argparse.ArgumentParser(
        prog="python -m audioforge.policy.learn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = Plan(out=Path("artifacts/learn"))
    parser.add_argument("--out", type=Path, default=usual.out, help="folder of this training")
    parser.add_argument("--model", type=Path, default=usual.model, help="language model folder")
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--group-size", type=int, default=usual.group_size)
    parser.add_argument("--batch", type=int, default=usual.batch_size, help="answers per step")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--threads", type=int, default=usual.threads, help="of the generator")
    given, trainer = parser.parse_known_args(ours)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the others too
    try:
        plan = Plan(
            out=given.out.resolve(),
            model=given.model.resolve(),
            steps=given.steps,
            group_size=given.group_size,
            batch_size=given.batch,
            seed=given.seed,
            threads=given.threads,
            trainer=trainer,
            environments=others or ((),),
        )
        sys.stdout.write(f"model: {learn(plan)}\n")
    except KeyboardInterrupt:
        sys.exit("stopped: the same command goes on")
    except (LearnError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
