"""OpenEnv: a server in a child process, four sessions at once, answers of the embedded policy.

python examples/openenv_sessions.py              needs: docs/adapters.md, OpenEnv
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import urllib.error
import urllib.request

from audioforge.adapters.openenv_env import SoundAction, SoundClient
from audioforge.policy.client import endpoint
from audioforge.policy.embedded import EMBEDDED_MODEL, embedded_policy
from audioforge.policy.learn import free_port
from audioforge.rollouts.studio import Ask


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers, or raise RuntimeError when it has ended."""
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise RuntimeError("the server did not start")


async def play(url: str, ask: Ask, seed: int) -> str:
    """Play one episode; return a line about it."""
    async with SoundClient(base_url=url) as session:
        seen = (await session.reset(seed=seed)).observation
        messages = [
            {"role": "system", "content": seen.system},
            {"role": "user", "content": seen.user},
        ]
        (answer,) = await ask(messages, 1)
        judged = await session.step(SoundAction(text=answer.text))
        return f"{judged.reward}  {judged.observation.outcome}  {seen.description}"


async def play_all(url: str, ask: Ask, sessions: int) -> list[str]:
    """Play several episodes at once."""
    return await asyncio.gather(*(play(url, ask, seed) for seed in range(sessions)))


def main() -> None:
    """Start the server, play, stop it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = ["-m", "audioforge.adapters.openenv_env", "--port", str(port)]
    server = subprocess.Popen([sys.executable, *words])
    try:
        wait_for(url, server)
        with embedded_policy() as policy:
            ask = endpoint(policy, EMBEDDED_MODEL)
            print("\n".join(asyncio.run(play_all(url, ask, 4))))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
