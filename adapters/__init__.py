"""Adapters: the same environment for other frameworks, one file each, over `rollouts/desk.py`.

gymnasium_env       gymnasium.make("AudioForge-v0")
trl_rewards         TRL: a reward function and prompts
trl_environment     TRL: an environment with a tool, for models that call tools
openenv_env         OpenEnv: server and client
verifiers_taskset   verifiers v1: taskset

A clip that we lost is never worth 0. Each framework is imported by its own file only;
docs/adapters.md tells how each is installed and run.
"""
