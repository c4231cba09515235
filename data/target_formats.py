"""Formats of targets files: JSON, JSONL and YAML text into entries that know their lines.

Nothing here knows what a target is. Text is untrusted: YAML is read safely and without aliases or
tags, duplicate keys and NaN are refused, and nesting too deep to read is a problem like any other.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Entry:
    """One element of a file: its value, and how to find the line of one of its fields."""

    value: Any
    line_of: Callable[[str], int]
    """Line of a field by its full name; of the element for "" and for fields it lacks."""


class SyntaxProblem(ValueError):
    """Text that is not in the file's format."""

    def __init__(self, line: int, must: str, came: str) -> None:
        self.line, self.must, self.came = line, must, came
        super().__init__(came)


def jsonl_entries(text: str) -> Iterator[Entry]:
    """Yield the object of every line that is not blank."""
    for line, row in enumerate(text.split("\n"), start=1):
        if row.strip():
            value, end = _decode(row, len(row) - len(row.lstrip(" \t")), line - 1)
            if row[end:].strip():
                raise SyntaxProblem(
                    line, "hold one JSON object per line", f"{row[end:][:40]!r} after it"
                )
            yield Entry(value, lambda _field, line=line: line)


def json_entries(text: str) -> Iterator[Entry]:
    """Yield the elements of a JSON list, each with its place, or the one object of the file."""
    at = _skip_blanks(text, 0)
    if text[at : at + 1] != "[":
        value, end = _decode(text, at)
        _expect_end(text, end)
        yield _json_entry(text, value, at, end)
        return
    at = _skip_blanks(text, at + 1)
    while text[at : at + 1] != "]":
        value, end = _decode(text, at)
        yield _json_entry(text, value, at, end)
        at = _skip_blanks(text, end)
        if text[at : at + 1] == ",":
            at = _skip_blanks(text, at + 1)
            if text[at : at + 1] == "]":
                raise SyntaxProblem(_line(text, at), "have no comma after the last target", "','")
        elif text[at : at + 1] != "]":
            raise SyntaxProblem(_line(text, at), "have ',' or ']' after a target", _came(text, at))
    _expect_end(text, at + 1)


def _json_entry(text: str, value: Any, start: int, end: int) -> Entry:
    def line_of(field: str) -> int:
        name = re.escape(json.dumps(field.split("[")[0].rpartition(".")[2], ensure_ascii=False))
        found = re.compile(name + r"\s*:").search(text, start, end)
        return _line(text, found.start() if found and field else start)

    return Entry(value, line_of)


def _decode(text: str, at: int, lines_before: int = 0) -> tuple[Any, int]:
    """Decode one JSON value; return it with the index after it."""
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        came = f"{_came(text, error.pos)} ({error.msg.lower()}, column {error.colno})"
        raise SyntaxProblem(error.lineno + lines_before, "be JSON", came) from error
    except RecursionError as error:
        raise SyntaxProblem(
            _line(text, at) + lines_before, "be nested a few levels deep at most", "deeper nesting"
        ) from error
    except ValueError as error:  # a number of more than 4300 digits, a duplicate key, NaN
        raise SyntaxProblem(
            _line(text, at) + lines_before, "be plain JSON", str(error)[:120]
        ) from error


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"field {twice[:60]!r} twice in one object")
    return dict(pairs)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name}, which JSON does not have")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_no_constant)


def _skip_blanks(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\n", "\r"):
        at += 1
    return at


def _expect_end(text: str, end: int) -> None:
    at = _skip_blanks(text, end)
    if at < len(text):
        raise SyntaxProblem(_line(text, at), "end after the last target", _came(text, at))


def _came(text: str, at: int) -> str:
    return repr(text[at : at + 20]) if at < len(text) else "the end of the file"


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases (they can blow up) and tags (their errors are untyped)."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if (
            isinstance(event, yaml.AliasEvent)
            or getattr(event, "anchor", None)
            or getattr(event, "tag", None)
        ):
            line = event.start_mark.line + 1
            raise SyntaxProblem(line, "be YAML without anchors, aliases and tags", "one")
        return super().compose_node(parent, index)


def yaml_entries(text: str) -> Iterator[Entry]:
    """Yield the elements of a YAML list, each with its lines, or the one mapping of the file."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise _yaml_problem(error) from error
    except RecursionError as error:
        raise SyntaxProblem(0, "be nested a few levels deep at most", "deeper nesting") from error
    if root is None:
        return
    for node in root.value if isinstance(root, yaml.SequenceNode) else [root]:
        lines = _field_lines(node, "")
        line = node.start_mark.line + 1
        try:
            value = loader.construct_document(node)
        except yaml.YAMLError as error:
            raise _yaml_problem(error) from error
        except (ValueError, RecursionError) as error:  # such as the date 2024-99-99
            raise SyntaxProblem(line, "hold plain YAML values", str(error)[:120]) from error
        yield Entry(
            value, lambda field, lines=lines, line=line: lines.get(field.split("[")[0], line)
        )


def _field_lines(node: yaml.Node, prefix: str) -> dict[str, int]:
    """Return the line of every field of a mapping by its full name; refuse a key given twice."""
    lines: dict[str, int] = {}
    if not isinstance(node, yaml.MappingNode):
        return lines
    for key, value in node.value:
        name, line = f"{prefix}{key.value}", key.start_mark.line + 1
        if name in lines:
            raise SyntaxProblem(line, "give each field once", f"{str(key.value)[:60]!r} again")
        lines[name] = line
        if prefix.count(".") < 2:
            lines |= _field_lines(value, f"{name}.")
    return lines


def _yaml_problem(error: yaml.YAMLError) -> SyntaxProblem:
    mark = getattr(error, "problem_mark", None)
    problem = str(
        getattr(error, "problem", None) or getattr(error, "reason", None) or "text no parser takes"
    )
    return SyntaxProblem(mark.line + 1 if mark else 0, "be YAML", problem[:120])


def read_text(path: Path, limit: int) -> str:
    """Read a UTF-8 file, with or without byte order mark, whatever ends its lines.

    Args:
        path: of the file.
        limit: most bytes it may have.

    Raises:
        SyntaxProblem: it is not there, not readable, larger, or not UTF-8.
    """
    if not os.path.isfile(path):  # unlike Path.is_file, false for names too long to exist
        came = "a folder" if os.path.isdir(path) else "no such file"
        raise SyntaxProblem(0, "be a file that exists", came)
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise SyntaxProblem(0, "be readable", error.strerror or str(error)) from error
    if len(content) > limit:
        raise SyntaxProblem(0, f"be at most {limit} bytes (split it)", "more")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SyntaxProblem(line, "be UTF-8 text", f"byte 0x{content[error.start]:02x}") from error
