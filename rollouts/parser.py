"""From the text of a language model to an AudioAction: total, linear-time, no silent repair.

The rule, in order:

1. Only the last MAX_READ characters are read. Text up to the last `</think>` is reasoning; an
   object in it is a draft and does not count. A `<think>` that never ends holds no answer.
2. Candidates are the complete, balanced objects that begin with a brace and a quoted name, wherever
   they stand (bare, fenced, between prose), at most MAX_OBJECTS of them, counted from the end.
3. The last candidate that makes a valid action wins; the others are listed as drafts.
4. Only if none does: objects that are not quite JSON are read once more with “typographic” quotes
   made plain and commas before a closing bracket removed. Single quotes, comments, names without
   quotes and objects that were cut off are refused.

What is repaired inside an object is the business of `repairs.py`. Every repair is a ParseIssue; so
is the reason when there is no action.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NamedTuple

from audioforge.rollouts.action import AudioAction
from audioforge.rollouts.repairs import FATAL, Fields, ParseIssue, build_action

MAX_READ = 65_536
"""Characters read, from the end of the answer."""
MAX_OBJECT = 16_384
"""Characters of one object; a longer one is no action."""
MAX_OBJECTS = 64
MAX_DEPTH = 16
MAX_TOKENS = 20_000
"""Braces, brackets and strings looked at in one answer: what keeps the time linear."""
_MAX_MENDED = 4

_START = re.compile(r"\{(?=\s*[\"“”}])")
# A string that never ends runs to the end of the text, so this cannot fail and scan again.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)
_STRING_OR_COMMA = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z))|,(?=\s*[}\]])', re.DOTALL)
_THINK, _END_THINK = "<think>", "</think>"


class Parsed(NamedTuple):
    """What a text was understood to ask for."""

    action: AudioAction | None
    issues: tuple[ParseIssue, ...]

    @property
    def reason(self) -> str:
        """Why there is no action, one line; empty when there is one."""
        if self.action is not None:
            return ""
        return "; ".join(issue.message for issue in self.issues if issue.kind in FATAL)


def parse_action(text: str) -> Parsed:
    """Read an answer by the rule above.

    Args:
        text: the whole answer of a policy, any string.

    Returns:
        The action and everything that was repaired, or no action and why. Never raises.
    """
    issues: list[ParseIssue] = []
    if not isinstance(text, str):
        return Parsed(
            None, (ParseIssue("not_text", None, f"answer must be text, got {type(text).__name__}"),)
        )
    if len(text) > MAX_READ:
        issues.append(
            ParseIssue(
                "cut",
                None,
                f"answer has {len(text)} characters, only the last {MAX_READ} were read",
            )
        )
        text = text[-MAX_READ:]
    if not text.strip():
        return Parsed(None, (*issues, ParseIssue("empty", None, "the answer is empty")))
    if text.lstrip().startswith(_THINK) and _END_THINK not in text:
        return Parsed(
            None, (*issues, ParseIssue("unfinished_reasoning", None, "the reasoning never ends"))
        )
    scan = _Scan(text)
    action, found = _choose(scan.objects)
    if action is None:
        mended, more = _choose(scan.mended())
        if mended is not None or not found:
            action, found = mended, more
    if action is None and not found:
        found = (_nothing(text),)
    return Parsed(action, (*issues, *found))


class _Candidate(NamedTuple):
    fields: Fields
    issues: tuple[ParseIssue, ...] = ()


class _Scan:
    """The candidate objects of one text, in text order."""

    def __init__(self, text: str) -> None:
        self.tokens_left = MAX_TOKENS
        self.objects: list[_Candidate] = []
        self.broken: list[str] = []
        answer = text.rfind(_END_THINK) + 1
        self._read(text, answer)
        if not (self.objects or self.broken) and answer:
            # The tag may stand inside the object itself, as a word of the prompt.
            self._read(text, 0, ends_after=answer)

    def _read(self, text: str, begin: int, ends_after: int = 0) -> None:
        starts = [match.start() for match in _START.finditer(text, begin)][-MAX_OBJECTS:]
        passed = begin
        for start in starts:
            if start < passed:
                continue
            end = self._end_of_object(text, start)
            if end is None or end < ends_after or end - start > MAX_OBJECT:
                continue
            fields = _decode(text[start:end])
            if fields is None:
                self.broken.append(text[start:end])
            else:
                self.objects.append(_Candidate(fields))
                passed = end

    def _end_of_object(self, text: str, start: int) -> int | None:
        depth = 0
        for match in _TOKEN.finditer(text, start):
            self.tokens_left -= 1
            if self.tokens_left < 0:
                return None
            character = text[match.start()]
            if character in "{[":
                depth += 1
                if depth > MAX_DEPTH:
                    return None
            elif character in "}]":
                depth -= 1
                if depth == 0:
                    return match.end()
        return None

    def mended(self) -> list[_Candidate]:
        """Return the last few broken objects as far as the two textual repairs help."""
        return [
            candidate
            for text in self.broken[-_MAX_MENDED:]
            if (candidate := _mended(text)) is not None
        ]


def _mended(text: str) -> _Candidate | None:
    """Decode without commas before closing brackets; if that fails, with plain quotes too."""
    quotes = ParseIssue("smart_quotes", None, "typographic quotes read as plain ones")
    comma = ParseIssue("trailing_comma", None, "a comma before a closing bracket removed")
    plain = text.replace("“", '"').replace("”", '"')
    for quoted, issues in ((text, ()), (plain, (quotes,))):
        without = _STRING_OR_COMMA.sub(lambda match: match.group(1) or "", quoted)
        fields = _decode(without)
        if fields is not None:
            return _Candidate(fields, issues if without == quoted else (*issues, comma))
    return None


def _choose(candidates: list[_Candidate]) -> tuple[AudioAction | None, tuple[ParseIssue, ...]]:
    """Return the last candidate that is valid, or the complaints about the closest one."""
    complaints: tuple[ParseIssue, ...] = ()
    for candidate in reversed(candidates):
        action, issues = build_action(candidate.fields)
        if action is not None:
            others = len(candidates) - 1
            drafts = (
                (ParseIssue("several_objects", None, f"{others} other object(s) passed over"),)
                if others
                else ()
            )
            return action, (*candidate.issues, *drafts, *issues)
        no_prompt = all(issue.kind == "no_prompt" for issue in issues)
        if not complaints or (not no_prompt and complaints[0].kind == "no_prompt"):
            complaints = (*candidate.issues, *issues)
    return None, complaints


def _nothing(text: str) -> ParseIssue:
    if "{" not in text:
        return ParseIssue("no_object", None, "no JSON object in the answer")
    return ParseIssue(
        "no_object",
        None,
        "no complete JSON object in the answer (cut off, or names without double quotes)",
    )


def _decode(text: str) -> Fields | None:
    """Decode one balanced object; None when it is not JSON."""
    repeated: list[str] = []

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            repeated.extend(
                name for name, times in Counter(name for name, _ in pairs).items() if times > 1
            )
        return found

    try:
        value = json.loads(text, strict=False, object_pairs_hook=object_of, parse_int=_integer)
    except (ValueError, RecursionError):
        return None
    return Fields(value, tuple(repeated[:MAX_DEPTH])) if isinstance(value, dict) else None


def _integer(digits: str) -> int | float:
    """Read an integer literal; one beyond 64 bits becomes a float, possibly inf, in linear time."""
    return int(digits) if len(digits) < 20 else float(digits)
