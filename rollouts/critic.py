"""critic_message: a rollout's report as a short message that the language model can act on.

What failed, worst first: shut gates, failed checks of the brief (what was asked, what was heard),
weak parts of the reward; each with what in the next action could help. At most MAX_POINTS points
and MAX_MESSAGE characters, the same for the same rollout.

Only our own words and numbers: of the references nothing but that the style is off, of the policy's
answer nothing. A reason why it could not be read may quote it, so `plain` leaves letters, digits
and plain punctuation: no tag, no brace and no special token can come back in.
"""

from __future__ import annotations

import re

from audioforge.reward_functions.score import CheckOutcome, RewardReport
from audioforge.rollouts.record import Rollout

MAX_POINTS = 4
MAX_WORDS = 160
"""Characters of one finding."""
MAX_MESSAGE = 1_000
WEAK = 0.5
"""A part of the reward under this is named."""
REPEAT = "Answer again with one JSON object that puts this right, or with the same one to stop."
_UNREADABLE = "Your answer could not be read, so there is no clip and the score is 0 of 1: {}."
_NOT_PLAIN = re.compile(r"[^\w .,;:%'()+\-#/]|_")
_SILENT_PARTS = ("prompt_alignment",)
"""Parts whose checks say more than their number."""

_IN_PROMPT = 'say "{}" in the prompt'
_CHECKS = {
    "bpm": 'say "{} bpm" in the prompt',
    "category": "say in the prompt that it is {}",
    "required": "name {} in the prompt",
    "forbidden": "put {} into negative_prompt and out of the prompt",
    "loudness_lufs": "say in the prompt how loud it is",
    "loudness_range_lu": "say in the prompt how far loud and soft lie apart",
}
"""What helps where a check failed; the others: say what was asked in the prompt."""
_SWITCHES = {
    ("percussion", True): 'say "drums" in the prompt',
    ("percussion", False): 'put "drums" into negative_prompt',
    ("sustained", True): 'say "sustained" in the prompt',
    ("sustained", False): 'say "separate notes" in the prompt',
    ("loop", True): 'say "seamless loop" in the prompt',
    ("one_shot", True): 'say "one shot" in the prompt',
    ("one_shot", False): 'say "several hits" in the prompt',
    ("gapless", True): 'say "without pauses" in the prompt',
    ("gapless", False): 'say "with pauses" in the prompt',
}
_PARTS = {
    "technical_characteristics": "see to seconds_total and cfg_scale",
    "style_consistency": "describe the usual sound of this kind more closely",
    "creativity": "use other words than before",
}
_HIDDEN = {"style_consistency": "not in the style that is wanted, or a copy of something known"}
"""What is said of a part instead of its reason."""


def critic_message(rollout: Rollout, enough_steps: int, close: str = REPEAT) -> str:
    """Tell a policy what was wrong with its last answer.

    Args:
        rollout: as judged; a dropped one has no critic.
        enough_steps: how many sampler steps the backend recommends.
        close: the last line; it says how to answer again.

    Returns:
        Plain text for a user message, at most MAX_MESSAGE characters.

    Raises:
        ValueError: the rollout was dropped.
    """
    if rollout.reward is None:
        raise ValueError(f"a dropped rollout has no critic, got {rollout.id}: {rollout.reason}")
    if rollout.report is None:
        return f"{_UNREADABLE.format(plain(rollout.reason))}\n{close}"
    points = _points(rollout, rollout.report, enough_steps)
    head = f"Your clip scored {rollout.reward:.2f} of 1."
    head += " What is off, worst first:" if points else " Nothing in it is clearly off."
    return "\n".join([head, *(f"- {point}" for point in points), close])[:MAX_MESSAGE]


def plain(text: str) -> str:
    """Return letters, digits and plain punctuation of a text in one short line."""
    return " ".join(_NOT_PLAIN.sub(" ", text).split())[:MAX_WORDS].rstrip(" .")


def _points(rollout: Rollout, report: RewardReport, enough_steps: int) -> list[str]:
    """Return the findings, worst first; those of equal worth in the order of the report."""
    steps = rollout.request.steps if rollout.request else enough_steps
    quality = (
        f"take {enough_steps} steps"
        if steps < enough_steps
        else "use a plainer prompt or another cfg_scale"
    )
    found = [(-1.0, f"{plain(_shut(report))}; {quality}")] if report.gates else []
    found += [
        (check.score, f"{plain(check.words)}; {_help(check)}")
        for check in report.checks
        if check.passed is False
    ]
    found += [
        (
            score.value,
            f"{plain(name)} {score.value:.2f}: {plain(_HIDDEN.get(name, score.reason))}; "
            f"{_PARTS.get(name, quality)}",
        )
        for name, score in report.parts.items()
        if score.scored and score.value < WEAK and name not in _SILENT_PARTS
    ]
    return [words for _, words in sorted(found, key=lambda one: one[0])][:MAX_POINTS]


def _shut(report: RewardReport) -> str:
    """Say which gates are shut; where no part could judge, its reason says more."""
    if any(score.scored for score in report.parts.values()):
        return f"the clip is {' and '.join(report.gates)}"
    return next((score.reason for score in report.parts.values()), " and ".join(report.gates))


def _help(check: CheckOutcome) -> str:
    if (name := (check.name, check.asked == "True")) in _SWITCHES:
        return _SWITCHES[name]
    return _CHECKS.get(check.name, _IN_PROMPT).format(plain(check.asked))
