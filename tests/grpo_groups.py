"""Groups of answers as the trainer's API gives them, for tests."""

import torch

from audioforge.policy.grpo import answer_distributions, of_answers
from audioforge.rollouts.outgoing import MASKED

PROMPT = [5, 9, 11, 6, 40]
ANSWERS = [[7, 8, 1], [30, 31, 32, 33, 1], [7, 60, 1]]


def plain_logprobs(model, ids):
    """Return the log-probability of each token after the first."""
    table = torch.log_softmax(model(torch.tensor([ids])).logits[0, :-1].float(), -1)
    return table.gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]


def answer_logprobs(model, batch):
    """Return the log-probabilities of a batch's answers, shape [answers, time]."""
    return of_answers(answer_distributions(model, batch), batch)


def group(model, answers=ANSWERS, scores=(1.0, 0.0, 0.5), **more):
    """Return a group as the API gives it, with the model's own log-probabilities."""
    drawn = [plain_logprobs(model, PROMPT + answer)[-len(answer) :].tolist() for answer in answers]
    return {
        "tokens": [PROMPT + answer for answer in answers],
        "masks": [[MASKED] * len(PROMPT) + answer for answer in answers],
        "scores": list(scores),
        "inference_logprobs": [[1.0] * len(PROMPT) + told for told in drawn],
        **more,
    }
