"""AudioForge as an environment for Atropos, and its command line.

    python audioforge_env.py process                      # embedded models, 8 groups of 4, a report
    python audioforge_env.py evaluate --openai.base_url URL --openai.model_name NAME
    python audioforge_env.py serve --env.rollout_server_url http://127.0.0.1:8000

This file translates: groups are made in `rollouts.session` and leave through `rollouts.outgoing`.
Nothing else imports atroposlib; its traps are in docs/atropos.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import yaml
from atroposlib.envs.base import APIServerConfig, BaseEnv, BaseEnvConfig
from atroposlib.frontend.jsonl2html import generate_html
from rich.console import Console
from tenacity import RetryError

from audioforge.policy.asker import Asker
from audioforge.policy.client import AskSettings, EndpointError
from audioforge.policy.embedded import EMBEDDED_MODEL
from audioforge.policy.servers import begin, settle
from audioforge.reward_functions.score import RewardReport
from audioforge.rollouts import launch
from audioforge.rollouts.board import Board, tracker_of
from audioforge.rollouts.delivery import Delivery
from audioforge.rollouts.draining import finish_all, serve_until_stopped
from audioforge.rollouts.errors import RunError
from audioforge.rollouts.evaluation import evaluate
from audioforge.rollouts.leaving import Leaving
from audioforge.rollouts.messages import messages_for
from audioforge.rollouts.metrics import group_metrics
from audioforge.rollouts.outgoing import Encoded, Limits, groups_ahead
from audioforge.rollouts.parser import Parsed, parse_action
from audioforge.rollouts.progress import RunProgress
from audioforge.rollouts.record import Group
from audioforge.rollouts.report import write_report
from audioforge.rollouts.session import Item, Session
from audioforge.rollouts.settings import EnvSettings
from audioforge.rollouts.trainer_api import TrainerApi
from audioforge.utils.audio_processing import Audio

_log = logging.getLogger("audioforge.env")


class AudioForgeConfig(EnvSettings, BaseEnvConfig):
    """Our settings and Atropos'; an unknown one is an error."""


class AudioForgeEnv(BaseEnv):
    """A target becomes an action, sound, a score and a recorded rollout, for Atropos."""

    name = "audioforge"
    env_config_cls = AudioForgeConfig  # type: ignore[assignment]
    config: AudioForgeConfig
    session: Session
    command: ClassVar[str] = "process"
    """The sub-command that runs; `main` sets it before Atropos asks for the defaults."""

    def __init__(self, config: AudioForgeConfig, server_configs: Any, **options: Any) -> None:
        given = server_configs if isinstance(server_configs, list) else [server_configs]
        self.settled = settle(given, config.tokenizer_name, config.api_key_env)
        groups = None if self.command == "evaluate" else config.data_path_to_save_groups
        paths = launch.run_paths(self.command, config.out, groups, config.data_dir_to_save_evals)
        self.wanted_steps, self.wanted_seconds = config.total_steps, config.worker_timeout
        # Our own board speaks to trackers, so that they cannot stop a run; and an item that takes
        # too long comes back, where Atropos' own time-out would lose it.
        ours = {"use_wandb": False, "worker_timeout": -1.0}
        update = {**paths, **ours, "tokenizer_name": self.settled.tokenizer}
        super().__init__(config.model_copy(update=update), self.settled.servers, **options)
        self.folder = Path(self.config.out)
        tokens, seed = config.max_answer_tokens, config.run_seed
        settings = AskSettings(config.temperature, max_tokens=tokens, seed=seed)
        self.asker = Asker(
            self.server, self.tokenizer, self.settled, settings, config.api_key_env, config.decides
        )
        tracker = config.tracker if config.use_wandb else "none"
        self.board = Board(self.folder, tracker_of(tracker, self.folder))
        self.resources = contextlib.ExitStack()
        self.progress: RunProgress | None = None

    @classmethod
    def config_init(cls) -> tuple[AudioForgeConfig, list[APIServerConfig]]:
        """Return the defaults; the servers as a list, or Atropos forgets their base_url."""
        server = APIServerConfig(
            model_name=EMBEDDED_MODEL, base_url="", api_key="x", health_check=False, timeout=300
        )
        return AudioForgeConfig(total_steps=-1 if cls.command == "serve" else 8), [server]

    async def setup(self) -> None:
        """Load the generator, open the run folder, and start or reach the language model."""
        if "session" in vars(self):
            return
        server = self.settled.servers[0]
        groups_file = self.config.data_path_to_save_groups
        self.resources.callback(launch.close_groups, self.jsonl_writer, groups_file)
        self.session = Session(self.config.session_config(self.command, server.model_name))
        self.leaving = Leaving(self.session, self.board, self.config.patience, self.wanted_seconds)
        self.resources.callback(self.session.close)
        self.resources.callback(self.board.finish)
        if self.session.ledger is not None:
            api = TrainerApi(self.config.rollout_server_url)
            self.delivery = Delivery(api, self.session.ledger)
        if self.session.missing != 0:
            await begin(self.settled, self.resources, wait=self.command == "serve")

    async def get_next_item(self) -> Item | None:
        """Return the next target to ask for; None when all groups of the run are given out."""
        return self.session.next_item()

    def get_prompt(self, item: Item) -> list[dict[str, str]]:
        """Return the messages that ask for an item's target."""
        return messages_for(item["target"], self.session.studio.backend.capabilities)

    def parse_response(self, text: str) -> Parsed:
        """Read an answer: an action, or the reasons why there is none."""
        return parse_action(text)

    async def process_batch(self, item: Item) -> tuple[Group, list[Encoded]]:
        """Ask, make clips, judge and record; a cancelled item resumes where it was."""
        group, encoded = await self.session.collect(
            item,
            self.asker.ask,
            follow=self.asker.follow,
            distinct=self.config.ensure_scores_are_not_same,
        )
        if self.progress is not None:
            self.progress.add(group.rewards)
        return group, encoded

    def score_response(self, audio: Audio, item: Item) -> RewardReport:
        """Judge one clip against an item's target."""
        return self.session.studio.reward.judge([audio], item["target"].brief)[0]

    def metric_calculations(self, groups: list[Group]) -> dict[str, float]:
        """Return means of rewards, parts, formats and drops; keys as in `rollouts.metrics`."""
        return group_metrics(groups)

    async def collect_trajectories(self, item: Item) -> tuple[Any, list[Item]]:
        """Make one group and let it through the gate; None when it is withheld or failed."""
        size, distinct = self.config.group_size, self.config.ensure_scores_are_not_same
        limits = Limits(size, self.asker.max_tokens, distinct)
        return await self.leaving.payload(item, self.process_batch, limits), []

    async def evaluate(self, *args: Any, **kwargs: Any) -> None:
        """Make one clip for each of `eval_targets` held-out targets; write means by category."""
        config, started = self.config, time.time()
        ask = functools.partial(self.asker.ask, split="eval")
        follow = functools.partial(self.asker.follow, split="eval")
        most, at_once = config.eval_targets, config.max_eval_workers
        try:
            groups = await evaluate(self.session, most, ask, at_once, follow=follow)
        except EndpointError as error:
            if self.command == "evaluate":
                raise
            return _log.warning("no evaluation at step %d: %s", self.curr_step, error)
        metrics = {f"eval/{key}": mean for key, mean in self.metric_calculations(groups).items()}
        drawn = {"temperature": config.temperature, "max_new_tokens": config.max_answer_tokens}
        await self.evaluate_log(
            metrics=metrics,
            start_time=started,
            end_time=time.time(),
            generation_parameters=drawn,
            samples=[rollout.to_json() for group in groups for rollout in group.rollouts],
            verbose=False,
        )
        await asyncio.to_thread(self.board.compare, groups)
        self.board.log(self.curr_step, metrics)
        if self.command == "evaluate":
            launch.say_means(metrics, f"{config.data_dir_to_save_evals}/metrics.json")

    async def add_rollouts_for_wandb(self, scored_data: Any, item: Item | None = None) -> None:
        """Keep some rollouts of a group, with their clips, for the tables and plots."""
        if item is not None:
            group, _ = item.get("made") or item["collecting"].result()
            self.board.show(group, self.config.num_rollouts_per_group_for_logging)

    async def _send_scored_data_to_api(self, scored_data: Any) -> None:  # type: ignore[override]
        """Send a group, at most once, whatever is cancelled or restarted meanwhile."""
        await self.leaving.sent(self.delivery.send(scored_data))

    async def wandb_log(self, wandb_metrics: dict[str, Any] | None = None) -> None:
        """Log Atropos' own metrics with ours, to metrics.jsonl and, where it works, to W&B."""
        metrics = dict(wandb_metrics or {}) | self.session.metrics()
        await super().wandb_log(metrics)
        for place, server in enumerate(self.server.servers):
            await server.wandb_metrics(metrics, f"server_{place}")  # type: ignore[union-attr]
        step = self.curr_step if self.command == "serve" else len(self.session.done)
        self.board.log(step, metrics)

    async def setup_wandb(self) -> None:
        """Wait for the trainer, then start W&B in its project and group."""
        launch.say(f"waiting for a trainer at {self.config.rollout_server_url}")
        told = await self.delivery.api.names()
        await self._start_board(project=told["project"] or None, group=told.get("group") or None)

    async def _start_board(self, **place: str | None) -> None:
        config, name = self.config.model_dump(mode="json"), str(self.config.wandb_name)
        await asyncio.to_thread(self.board.start, config, name, **place)

    async def register_env(self) -> None:
        """Get onto the list of the trainer's API; its steps hold where none were set."""
        self.config.total_steps = self.wanted_steps
        await super().register_env()
        self.delivery.env_id = self.env_id

    async def get_server_info(self) -> None:
        """Learn batch size and token limit from the trainer."""
        await super().get_server_info()
        self.asker.max_tokens = self.max_token_len if self.max_token_len > 0 else None
        batch, ahead = self.config.batch_size, self.config.max_batches_offpolicy
        self.session.overlap(
            self.max_num_workers, groups_ahead(batch, ahead, self.config.group_size)
        )

    async def get_status(self) -> None:  # type: ignore[override]
        """Ask the trainer's API where it stands; here a run that cannot go on stops."""
        if self.leaving.fatal is not None:
            raise self.leaving.fatal
        try:
            await super().get_status()
            lost = self.status_dict["current_step"] < self.curr_step
        except RetryError:
            lost = True
        if lost:
            await self.delivery.rejoin(self.curr_step, self._join_again, self.config.api_patience)
            await self.get_status()

    async def _join_again(self) -> None:
        await self.register_env()
        await self.get_server_info()

    def save_checkpoint(self, step: int, data: dict[str, Any] | None = None) -> None:
        """Save how far the targets have been given out; finished groups are in the run folder."""
        super().save_checkpoint(step, self.session.checkpoint() | (data or {}))

    def load_checkpoint(self) -> None:
        """Go on with the targets where the checkpoint was."""
        super().load_checkpoint()
        self.session.restore(vars(self))  # where Atropos puts what it has read

    async def env_manager(self) -> None:
        """Serve a trainer."""
        self.asker.warn_a_trainer()
        with self.resources:
            await serve_until_stopped(super().env_manager(), self._finish_begun)
        launch.say(f"run: {self.folder}")

    async def _finish_begun(self) -> None:
        """Make, record and send the groups that are in flight; those not yet asked for wait."""
        if "delivery" not in vars(self):
            return
        if self.eval_runner is not None:
            self.eval_runner.cancel()
        begun = [item for item in [*self.backlog, *self.session.again] if "collecting" in item]
        await finish_all({*self.workers, *map(self._finish, begun)}, self.delivery.waiting)

    async def _finish(self, item: Item) -> None:
        payload, _ = await self.collect_trajectories(item)
        if payload is not None:
            await self.handle_send_to_api(payload, item)

    async def _run_evaluate(self) -> None:
        with self.resources:
            await super()._run_evaluate()

    async def process_manager(self) -> None:
        """Make the missing groups of a run and write its pages; a finished run says so."""
        groups_file = Path(str(self.config.data_path_to_save_groups))
        with self.resources:
            await self.setup()
            self.n_groups_to_process = self.session.missing or 0
            if not self.n_groups_to_process:
                launch.say(f"{self.folder} is finished; for another run set --env.out")
            else:
                await self._start_board()
                console, earlier = Console(file=sys.__stdout__), self.session.rewards()
                with RunProgress(console, self.config.total_steps, earlier) as self.progress:
                    await super().process_manager()
                launch.write_escaped_page(groups_file, self.folder, generate_html)
            launch.say(f"report: {write_report(self.folder)}")


def main() -> int:
    """Run the command line; return the exit code."""
    arguments = sys.argv[1:]
    AudioForgeEnv.command = launch.command_of(arguments)
    known = (ValueError, OSError, ImportError, EndpointError, RunError, RetryError, yaml.YAMLError)
    return launch.run_command(AudioForgeEnv.cli, arguments, known)


if __name__ == "__main__":
    sys.exit(main())
