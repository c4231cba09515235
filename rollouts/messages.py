"""Messages: a target and a backend's capabilities become what the language model reads.

The field list is generated from the action class and the capabilities, so the model is never told
of a range or a sampler that the backend does not have.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from audioforge.generation.backend import Capabilities, GenerationDefaults
from audioforge.rollouts.action import schema_lines
from audioforge.utils.prompt_templates import PromptTemplate, fill, load_templates

if TYPE_CHECKING:
    from audioforge.data.targets import Target

__all__ = ["Capabilities", "GenerationDefaults", "ask", "messages_for"]

TEMPLATE_FILE = Path(__file__).resolve().parents[1] / "data" / "prompt_templates.json"


def messages_for(
    target: Target, capabilities: Capabilities, template: str | None = None
) -> list[dict[str, str]]:
    """Ask for one target: a system message with the fields, a user message with the target.

    Args:
        target: what is wanted.
        capabilities: of the backend that will make it.
        template: a name in `data/prompt_templates.json`, or None for the default one.

    Returns:
        Messages with "role" and "content".

    Raises:
        ValueError: there is no such template.
    """
    return ask(target.target_description, target.brief.seconds, capabilities, template)


def ask(
    description: str, seconds: float, capabilities: Capabilities, template: str | None = None
) -> list[dict[str, str]]:
    """Like `messages_for`, for a description and a length in seconds."""
    templates, default = _templates()
    if template is not None and template not in templates:
        raise ValueError(f"no prompt template named {template!r}; have {sorted(templates)}")
    chosen = templates[template or default]
    values = {
        "fields": schema_lines(capabilities),
        "note": capabilities.note,
        "model": capabilities.model,
        "description": description,
        "seconds": f"{round(min(seconds, capabilities.max_seconds), 3):g}",
    }
    return [
        {"role": "system", "content": fill(chosen.system, values).strip()},
        {"role": "user", "content": fill(chosen.user, values).strip()},
    ]


@cache
def _templates() -> tuple[dict[str, PromptTemplate], str]:
    return load_templates(TEMPLATE_FILE)
