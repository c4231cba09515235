"""Listing: which files are judged, and against what.

A path is a sound file, a folder (searched through, sound files only, hidden ones left out, links
to folders not followed) or a list: JSONL with one object per line, `{"path": ..., "brief": ...}`,
paths relative to the list's folder. The list is sorted by path, then brief, and holds nothing
twice: the order in which paths were given, found or named changes nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audioforge.data.brief import Brief

if TYPE_CHECKING:
    from audioforge.data.targets import Target

SUFFIXES = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc"),
    *(".au", ".snd", ".caf", ".w64", ".rf64"),
)
"""Of the files that are taken from a folder, in any case. A file named by itself is always tried.
"""
LIST_SUFFIX = ".jsonl"
MAX_WORDS = 4_000
"""Characters of a brief."""
_FIELDS = ("path", "brief", "target")


@dataclass(frozen=True)
class Listed:
    """One file and what it is judged against."""

    path: Path
    brief: Brief | str | None = None
    words: str = ""
    """The brief as a reader sees it."""
    target: str = ""
    """Id of the target, if there is one."""
    references: tuple[str, ...] = ()
    """Paths of the style set."""
    refusal: str = ""
    """Why it cannot be judged at all; empty when it can."""

    @property
    def shown(self) -> str:
        """The path as text that can be written anywhere, also where the name is no UTF-8."""
        return os.fsencode(self.path).decode("utf-8", "backslashreplace")


def list_files(
    paths: Sequence[str | Path],
    brief: str | None = None,
    targets: Mapping[str, Target] | None = None,
) -> list[Listed]:
    """List what is to be judged.

    Args:
        paths: files, folders and lists.
        brief: for every file whose list says nothing else.
        targets: by id; then every file is judged by a target: the one its list names, or the one
            whose id is the name of its nearest folder, or begins its own name ("rain-01_3.wav").
            A file without one gets a row that says so.

    Raises:
        ValueError: nothing there, no sound file in a folder, or a line of a list that is not right.
    """
    if brief is not None and targets is not None:
        raise ValueError("brief and targets exclude each other: give one of them")
    by_id = dict(targets or {})
    found: list[Listed] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += [_asked(file, brief, by_id, targets is not None) for file in _inside(path)]
        elif not path.is_file():
            raise ValueError(f"{path}: there is no such file or folder")
        elif path.suffix.lower() == LIST_SUFFIX:
            found += list(_from_list(path, brief, by_id, targets is not None))
        else:
            found.append(_asked(path, brief, by_id, targets is not None))
    unique = {(one.shown, one.words, one.target): one for one in found}
    return [unique[place] for place in sorted(unique)]


def _inside(folder: Path) -> list[Path]:
    found = [
        Path(parent) / name
        for parent, folders, names in os.walk(folder)
        if not folders.sort()
        for name in names
        if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    ]
    if kept := [path for path in found if path.is_file()]:
        return kept
    raise ValueError(f"{folder}: no sound file in this folder ({', '.join(SUFFIXES)})")


def _asked(path: Path, brief: str | None, targets: Mapping[str, Target], needed: bool) -> Listed:
    if not needed:
        return Listed(path, brief or None, _words(brief or "", str(path)))
    return _with_target(path, _target_of(path, targets))


def _with_target(path: Path, target: Target | None) -> Listed:
    if target is None:
        return Listed(path, refusal="no target has its folder's name or begins its name")
    return Listed(path, target.brief, target.target_description, target.id, target.reference_files)


def _target_of(path: Path, targets: Mapping[str, Target]) -> Target | None:
    """Find the target that a file's folder or name names; of several, the longest id."""
    stem = path.stem
    named = [
        name
        for name in targets
        if stem == name or (stem.startswith(name) and stem[len(name)] in "-_. ")
    ]
    if named:
        return targets[max(named, key=len)]
    return next((targets[p.name] for p in path.parents if p.name in targets), None)


def _from_list(
    file: Path, brief: str | None, targets: Mapping[str, Target], needed: bool
) -> Iterator[Listed]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: a list must be UTF-8 text ({error.reason})") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        entry = _entry(line, where)
        path = file.parent / entry["path"]
        if (name := entry.get("target")) is None:
            yield _asked(path, entry.get("brief") or brief, targets, needed)
        elif name in targets:
            yield _with_target(path, targets[name])
        else:
            raise ValueError(f"{where}: no target {name!r} among the targets given")


def _entry(line: str, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not a JSON object ({error})") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str) or not entry["path"]:
        raise ValueError(f'{where}: must be an object with "path" and, if wanted, "brief"')
    if unknown := sorted(set(entry) - set(_FIELDS)):
        raise ValueError(f"{where}: fields must be among {list(_FIELDS)}, got {unknown}")
    for name in ("brief", "target"):
        if not isinstance(entry.get(name), str | None):
            raise ValueError(f"{where}: {name} must be text, got {entry[name]!r}")
    return entry


def _words(brief: str, where: str) -> str:
    if len(brief) > MAX_WORDS:
        raise ValueError(
            f"{where}: a brief must be at most {MAX_WORDS} characters, got {len(brief)}"
        )
    return brief
