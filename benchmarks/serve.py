"""A soak of `serve`: does it hold on for an hour while a fifth of the language model's calls fail?

    python benchmarks/serve.py [--minutes 60] [--quick] [--out FILE] [--share 0.2] [--keep FOLDER]

Real processes: Atropos' `run-api`, `python audioforge_env.py serve`, the embedded policy server
behind a proxy that breaks a share of its answers (`fault_proxy.py`), and, here, a trainer that
takes batches and learns nothing. At the end the environment is told to stop (SIGTERM) and drains.

`generator_busy_share` is the share of wall time that the engine spent making clips, from its own
metrics, after warm-up. `groups_in` are the groups that got answers, `groups_out` those that a
trainer has received or finds in the queue; what differs was withheld for a reason, or is `lost`.
The slopes are least squares of the resident memory after warm-up (ten minutes of an hour). A `hang`
is a minute without any group.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _common import Benchmark
from fault_proxy import FaultProxy
from rich.progress import Progress

from audioforge.policy.embedded import EMBEDDED_FOLDER, EMBEDDED_MODEL, embedded_policy
from audioforge.policy.learn import free_port

ROOT = Path(__file__).resolve().parents[1]
BATCH, GROUP = 16, 4
LLM_SECONDS = 30
"""After which the environment takes a call for lost; a "timeout" fault lasts a little longer."""
HANG_SECONDS = 60.0
DRAIN_SECONDS = 40.0
WARM_SECONDS = 600.0
"""Caches fill and the allocator settles; in a short soak a quarter of the time."""


@dataclass
class Seen:
    """What the trainer has received, and the memory of the processes meanwhile."""

    groups: Counter[int] = field(default_factory=Counter)
    memory: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """(seconds, MB) by process."""
    hangs: int = 0
    last: float = field(default_factory=time.monotonic)

    def take(self, url: str) -> bool:
        """Fetch a batch as a trainer; say whether there was one."""
        batch = call(f"{url}/batch").get("batch")
        if not batch:
            return False
        self.groups.update(group["generation_params"]["group"] for group in batch)
        self.last = time.monotonic()
        return True

    def weigh(self, processes: dict[str, int]) -> None:
        """Note the resident memory of processes."""
        for name, pid in processes.items():
            with contextlib.suppress(OSError, IndexError):
                told = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]
                self.memory.setdefault(name, []).append((time.monotonic(), int(told) / 1024))

    def by_minute(self, name: str) -> list[int]:
        """Return a process's MB at the end of each minute."""
        points = self.memory[name]
        ends = {int((at - points[0][0]) // 60): megabytes for at, megabytes in points}
        return [round(ends[minute]) for minute in sorted(ends)]

    def slopes(self, warm: float) -> dict[str, float]:
        """Return MB per hour by process, over what follows a moment."""
        told = {}
        for name, points in self.memory.items():
            seconds, megabytes = np.array([p for p in points if p[0] >= warm] or points[-2:]).T
            told[name] = float(np.polyfit(seconds - seconds[0], megabytes, 1)[0] * 3_600)
        return told


def call(url: str, body: dict[str, Any] | None = None) -> Any:
    """Call the API."""
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, sent, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@contextlib.contextmanager
def process(words: list[str], log: Path, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command for as long as needed."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    own = {"PYTHONPATH": paths, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as told:
        child = subprocess.Popen(
            [sys.executable, *words], stdout=told, stderr=subprocess.STDOUT, cwd=cwd,
            env=os.environ | own,
        )  # fmt: skip
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()


def begin_api(url: str) -> None:
    """Wait for the API, and register as its trainer."""
    until = time.monotonic() + 60
    while True:
        try:
            call(url)
            break
        except (OSError, urllib.error.URLError):
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
    told = {"wandb_group": "soak", "wandb_project": "audioforge", "batch_size": BATCH}
    told |= {"max_token_len": 2_048, "checkpoint_dir": "checkpoints", "starting_step": 0}
    call(f"{url}/register", told | {"save_checkpoint_interval": 50, "num_steps": 10_000_000})
    call(f"{url}/batch")


def soak(url: str, seconds: float, child: subprocess.Popen[bytes], seen: Seen) -> float:
    """Be the trainer for a while; return when the first groups had come and all was warm."""
    processes = {"env": child.pid} | {
        name: pid for pid, name in children(child.pid) if name in ("api", "policy")
    }
    began, warm, weighed = 0.0, 0.0, 0.0
    with Progress() as progress:
        task = progress.add_task("serving", total=seconds)
        while child.poll() is None and (not began or time.monotonic() - began < seconds):
            got, now = seen.take(url), time.monotonic()
            if got and not began:
                began, warm = now, now + min(WARM_SECONDS, seconds / 4)
            if now - weighed > 1.0:
                weighed = now
                seen.weigh(processes)
                progress.update(task, completed=now - began if began else 0)
            if now - seen.last > (HANG_SECONDS if began else 4 * HANG_SECONDS):
                seen.hangs, seen.last = seen.hangs + 1, now
                if not began:
                    break
            if not got:
                time.sleep(0.1)
    return warm


def children(pid: int) -> list[tuple[int, str]]:
    """Return this benchmark's other processes, as (pid, what it is)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and int(entry.name) != pid:
                name = "api" if "atroposlib.cli.run_api" in words else "policy"
                found.append((int(entry.name), name))
    return found


def drained(url: str, child: subprocess.Popen[bytes], seen: Seen) -> tuple[int | None, int]:
    """Stop the environment and take what is left; return its exit code and the queue's length."""
    child.send_signal(signal.SIGTERM)
    until = time.monotonic() + DRAIN_SECONDS
    while child.poll() is None and time.monotonic() < until:
        seen.take(url)
        time.sleep(0.1)
    while seen.take(url):
        pass
    return child.poll(), int(call(f"{url}/status")["queue_size"])


def accounts(run: Path, seen: Seen, queued: int) -> dict[str, Any]:
    """Compare the environment's ledger with what the trainer has received."""
    last: dict[int, dict[str, Any]] = {}
    for line in (run / "outcomes.jsonl").read_text().splitlines():
        told = json.loads(line)
        last[told["group"]] = told
    still_open = {int(path.stem) for path in (run / "outbox").glob("*.json")}
    reasons = Counter(
        told["reason"].partition(":")[0] for told in last.values() if told["outcome"] == "withheld"
    )
    sent = {group for group, told in last.items() if told["outcome"] == "sent"}
    out = len(seen.groups) + queued
    return {
        "groups_in": len(last.keys() | still_open),
        "groups_out": out,
        "withheld": dict(reasons),
        "unconfirmed": sum(told["outcome"] == "unconfirmed" for told in last.values()),
        "kept_for_the_next_start": len(still_open),
        "lost": len(sent) - out,
        "doubled": sum(count > 1 for count in seen.groups.values()),
    }


def busy(run: Path, warm: float) -> dict[str, float]:
    """Return what the engine did after warm-up, from the environment's metrics."""
    since = time.time() - (time.monotonic() - warm)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "engine/wall_seconds" in row]
    rows = [row for row in rows if row["time"] - row["engine/wall_seconds"] >= since] or rows[1:]
    wall = sum(row["engine/wall_seconds"] for row in rows)
    spent = sum(row["engine/busy_seconds"] for row in rows)
    made = sum(row["engine/clips"] for row in rows)
    stages = {
        f"{stage}_seconds": float(np.mean([row[f"seconds/{stage}_mean"] for row in rows]))
        for stage in ("ask", "generate", "judge")
        if rows and all(f"seconds/{stage}_mean" in row for row in rows)
    }
    return {
        "generator_busy_share": spent / wall if wall else 0.0,
        "clips_per_s": made / wall if wall else 0.0,
        "batch_fill": rows[-1]["engine/batch_fill"] if rows else 0.0,
        **stages,
    }


def main() -> None:
    """Serve, count, report."""
    benchmark = Benchmark(__doc__)
    benchmark.parser.add_argument("--minutes", type=float, default=60.0)
    benchmark.parser.add_argument("--share", type=float, default=0.2, help="of calls that fail")
    benchmark.parser.add_argument("--model", default="tiny-stable-audio")
    benchmark.parser.add_argument("--keep", type=Path, help="where the run's folder is left")
    benchmark.parser.add_argument("--tracker", default="wandb", help="wandb, trackio or none")
    given = benchmark.options()
    seconds = 15.0 if given.quick else 60.0 * given.minutes
    with tempfile.TemporaryDirectory() as place:
        told = measure(Path(place), given, seconds)
        if given.keep:
            shutil.copytree(place, given.keep, dirs_exist_ok=True)
    benchmark.finish(told)


def measure(folder: Path, given: Any, seconds: float) -> dict[str, Any]:
    """Run everything in a folder; an interrupt ends the soak early."""
    port = free_port()
    url, run, seen = f"http://127.0.0.1:{port}", folder / "run", Seen()
    with contextlib.ExitStack() as stack:
        api = ["-m", "atroposlib.cli.run_api", "--host", "127.0.0.1", "--port", str(port)]
        stack.enter_context(process(api, folder / "api.log", folder))
        policy = stack.enter_context(embedded_policy())
        proxy = FaultProxy(policy.removesuffix("/v1"), given.share, seed=1, hang=LLM_SECONDS + 5)
        stack.callback(proxy.close)
        begin_api(url)
        words = [str(ROOT / "audioforge_env.py"), "serve", "--env.rollout_server_url", url]
        words += ["--env.out", str(run), "--env.model", given.model, "--env.tracker", given.tracker]
        words += ["--env.group_size", str(GROUP), "--env.keep_audio", "newest:64"]
        words += ["--env.tokenizer_name", str(EMBEDDED_FOLDER), "--openai.server_type", "vllm"]
        words += ["--openai.base_url", f"{proxy.url}/v1", "--openai.model_name", EMBEDDED_MODEL]
        words += ["--openai.timeout", str(LLM_SECONDS), "--env.steps_per_eval", "0"]
        child = stack.enter_context(process(words, folder / "env.log", folder))
        warm = time.monotonic()
        with contextlib.suppress(KeyboardInterrupt):
            warm = soak(url, seconds, child, seen)
        code, queued = drained(url, child, seen)
        if not (run / "outcomes.jsonl").exists():
            raise SystemExit((folder / "env.log").read_text())
        slopes = seen.slopes(warm)
        return {
            **busy(run, warm),
            **accounts(run, seen, queued),
            "rss_slope_mb_per_hour": slopes.pop("env"),
            "rss_slopes_of_others": slopes,
            "rss_mb": seen.memory["env"][-1][1],
            "rss_mb_by_minute": {name: seen.by_minute(name) for name in seen.memory},
            "disk_mb": sum(p.stat().st_size for p in run.rglob("*") if p.is_file()) / 1e6,
            "clips_on_disk": len(list((run / "audio").glob("*.flac"))),
            "faults_injected": dict(proxy.injected),
            "llm_calls": proxy.calls,
            "hangs": seen.hangs,
            "exit_code": code,
            "minutes": seconds / 60,
        }


if __name__ == "__main__":
    main()
