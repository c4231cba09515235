"""Gymnasium: four episodes side by side with drawn actions; their clips are made in one pass.

python examples/gymnasium_random.py
"""

from __future__ import annotations

import gymnasium

import audioforge.adapters.gymnasium_env  # noqa: F401 - registers AudioForge-v0


def main() -> None:
    """Play one step of four episodes and tell what became of them."""
    envs = gymnasium.make_vec("AudioForge-v0", num_envs=4, model="tiny-stable-audio")
    told, _ = envs.reset(seed=0)
    envs.action_space.seed(0)
    actions = envs.action_space.sample()
    _, rewards, _, _, infos = envs.step(actions)
    for place in range(4):
        print(told["description"][place])
        print("  ", actions[place])
        print("  ", f"{rewards[place]:.3f}", infos["final_info"]["outcome"][place])
    envs.close()


if __name__ == "__main__":
    main()
