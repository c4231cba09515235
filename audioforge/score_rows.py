"""Tables of scores: CSV, JSONL or Parquet, and the journal that makes a run safe to stop.

Each row is appended to `<table>.rows.jsonl` as it comes; the table itself is written whole, sorted
by path, at the end. After a crash the journal is still there, and the next run goes on from it.
Rows that a table already holds are kept.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from audioforge.reward_functions.file_score import FileScore
from audioforge.rollouts.store import write_checked

SUFFIXES = (".csv", ".jsonl", ".parquet")
_INSTALL = "Parquet needs pyarrow: pip install pyarrow, or choose a .csv or .jsonl table"


class ScoreTable:
    """A table on disk; one process writes to it at a time.

    Raises:
        ValueError: another suffix, a table that is no table of scores, or one in use.
        ImportError: Parquet without pyarrow.
        OSError: the folder cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"{path}: a table of scores must end in {', '.join(SUFFIXES)}")
        if self._suffix == ".parquet":
            _parquet()
        self._journal_path = self.path.with_name(self.path.name + ".rows.jsonl")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._journal = open(self._journal_path, "a+b")  # noqa: SIM115 - closed by `close`
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._journal.close()
            raise ValueError(f"{path} is being written by another process") from error
        try:
            self.rows = {row.place: row for row in [*_read(self.path), *self._torn()]}
        except (ValueError, OSError):
            self._journal.close()
            raise

    def __enter__(self) -> ScoreTable:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, row: FileScore) -> None:
        """Hold a row; it is on disk when this returns, and replaces one of the same place."""
        if self.rows.get(row.place) == row:
            return
        self.rows[row.place] = row
        self._journal.write((json.dumps(row.to_json()) + "\n").encode())
        self._journal.flush()

    def close(self) -> None:
        """Write the table, whole or not at all, then let the journal go; twice does nothing."""
        if self._journal.closed:
            return
        with self._journal:
            ordered = [self.rows[place] for place in sorted(self.rows)]
            write_checked(self.path, _encoded(ordered, self._suffix))
            self._journal_path.unlink(missing_ok=True)

    @property
    def _suffix(self) -> str:
        return self.path.suffix.lower()

    def _torn(self) -> list[FileScore]:
        """Read the journal of a run that did not end; cut a torn last line away."""
        self._journal.seek(0)
        rows, whole = [], 0
        for line in self._journal:
            if not line.endswith(b"\n"):
                os.ftruncate(self._journal.fileno(), whole)
                break
            whole += len(line)
            rows.append(_row(json.loads(line), self._journal_path))
        return rows


def short_names(rows: Iterable[FileScore]) -> tuple[str, dict[str, str]]:
    """Return the folder that all rows share, and each path from there on."""
    paths = [row.path for row in rows]
    try:
        shared = os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:  # none at all, or absolute and relative ones
        return "", {path: path for path in paths}
    return shared, {path: os.path.relpath(path, shared or ".") for path in paths}


def _read(path: Path) -> list[FileScore]:
    if not path.exists():
        return []
    try:
        return [_row(row, path) for row in _plain(path)]
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error, RecursionError) as error:
        raise ValueError(f"{path} is no table of scores ({error}); name another file") from error


def _plain(path: Path) -> Iterable[Any]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        pyarrow, parquet = _parquet()
        try:
            return parquet.read_table(path).to_pylist()
        except pyarrow.ArrowException as error:
            raise ValueError(f"{path} is no Parquet file ({str(error).splitlines()[0]})") from error
    text = path.read_text(encoding="utf-8")
    if suffix == ".csv":
        return csv.DictReader(io.StringIO(text, newline=""))
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _row(row: Any, path: Path) -> FileScore:
    try:
        return FileScore.from_json(row)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is no table of scores ({error}); name another file") from error


def _encoded(rows: list[FileScore], suffix: str) -> bytes:
    plain = [row.to_json() for row in rows]
    columns = list(dict.fromkeys(name for row in plain for name in row))
    if suffix == ".jsonl":
        return "".join(json.dumps(row) + "\n" for row in plain).encode()
    if suffix == ".csv":
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, columns or list(FileScore("", "", "").to_json()))
        table.writeheader()
        table.writerows(plain)
        return text.getvalue().encode()
    return _parquet_bytes({name: [row.get(name) for row in plain] for name in columns})


def _parquet_bytes(columns: dict[str, list[Any]]) -> bytes:
    pyarrow, parquet = _parquet()
    words = {name for name, value in FileScore("", "", "").to_json().items() if value == ""}
    whole = {"not_checked", "sample_rate", "channels"}
    arrays = {
        name: pyarrow.array(
            values,
            pyarrow.string()
            if name in words
            else pyarrow.int64()
            if name in whole
            else pyarrow.float64(),
        )
        for name, values in columns.items()
    }
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(arrays), buffer)
    return buffer.getvalue()


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(_INSTALL) from error
    return pyarrow, parquet
