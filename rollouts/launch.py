"""What surrounds a run that is started from a shell: keys, quiet libraries, one-line errors.

Each function guards against one thing that went wrong with others: keys in files, warnings without
end, tracebacks for typing errors, and pages in which a model's answer runs as a script.
"""

from __future__ import annotations

import contextlib
import html
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

FOLDERS = {
    "process": "artifacts/demo",
    "evaluate": "artifacts/evaluate",
    "serve": "artifacts/serve",
}
"""The sub-commands, and the run folder of each."""
NO_KEYS = ("", "x", "none", None)
"""What stands in the place of a key where there is none."""
MAX_LINE = 400
_LOUD = ("transformers", "atroposlib", "httpx", "openai", "wandb")


def quiet_libraries() -> None:
    """Keep the notices of third-party libraries off the console; errors and our own lines stay."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR, format="audioforge: %(message)s")
    logging.getLogger("audioforge").setLevel(logging.WARNING)
    # Some set their own level when they are imported, so a level for the package is not enough.
    for name in [*logging.root.manager.loggerDict, *_LOUD]:
        if name.partition(".")[0] in _LOUD:
            logging.getLogger(name).setLevel(logging.ERROR)


def refuse_keys(arguments: Iterable[str]) -> None:
    """Refuse a key on the command line or in a YAML file: both would be printed and written.

    Args:
        arguments: of the command line.

    Raises:
        ValueError: there is one; it is not repeated.
        OSError, yaml.YAMLError: the file of --config cannot be read.
    """
    words = list(arguments)
    for place, word in enumerate(words):
        flag, _, value = word.partition("=")
        value = value or next(iter(words[place + 1 : place + 2]), "")
        if flag == "--openai.api_key" and value not in NO_KEYS:
            raise ValueError(_KEY_LINE.format("--openai.api_key"))
        if flag == "--config":
            with open(value, encoding="utf-8") as file:
                told: Any = yaml.safe_load(file) or {}
            if not isinstance(told, Mapping):
                raise ValueError(
                    f"{value} must hold a mapping with env and openai, got {type(told).__name__}"
                )
            servers = told.get("openai") or {}
            for server in servers if isinstance(servers, list) else [servers]:
                if isinstance(server, Mapping) and server.get("api_key") not in NO_KEYS:
                    raise ValueError(_KEY_LINE.format(f"openai.api_key in {value}"))


_KEY_LINE = (
    "keys come from the environment only, got {}; set the variable that env.api_key_env names"
)


def one_line(error: BaseException) -> str:
    """Say an error in one line: what must hold, what came, what to do."""
    errors: Any = getattr(error, "errors", None)
    if callable(errors):  # pydantic: the first field that does not fit
        found: Any = errors()
        first = found[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}, got {first.get('input')!r}"[:MAX_LINE]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:MAX_LINE]


def run_paths(
    command: str, out: str, groups: str | None, evals: str | None
) -> dict[str, str | None]:
    """Return where a run writes: its folder, and inside of it what was not placed elsewhere.

    Args:
        command: the sub-command.
        out: the run folder; empty for the command's own.
        groups: the groups file; empty is groups.jsonl in the folder, None is none.
        evals: where evaluations go; None is eval/ in the folder.
    """
    folder = Path(out or FOLDERS[command])
    return {
        "out": str(folder),
        "data_path_to_save_groups": str(folder / "groups.jsonl") if groups == "" else groups,
        "data_dir_to_save_evals": evals or str(folder / "eval"),
    }


def command_of(arguments: Sequence[str]) -> str:
    """Return the sub-command that a command line names, "process" where it names none of ours."""
    return arguments[0] if arguments and arguments[0] in FOLDERS else "process"


def say(line: str) -> None:
    """Print a line to the true standard output, whatever is redirected."""
    print(line, file=sys.__stdout__, flush=True)


def say_means(means: Mapping[str, float], file: str) -> None:
    """Print the means of an evaluation, one per line, and where they are kept."""
    say("\n".join(f"{name:<40} {mean:.3f}" for name, mean in means.items()))
    say(f"metrics: {file}")


def run_command(
    call: Callable[[], object], arguments: Sequence[str], known: tuple[type[Exception], ...]
) -> int:
    """Run a command of the shell with only our own lines on the console.

    A framework that prints its settings, keys included, is not heard; asking for help is.

    Args:
        call: the command; it may end in SystemExit.
        arguments: of the command line.
        known: errors that a person can act on: one line each.

    Returns:
        The exit code: 0, 1 for a known error, 130 when interrupted.
    """
    quiet_libraries()
    helped = {"-h", "--help"} & set(arguments) or not arguments
    try:
        refuse_keys(arguments)
        with contextlib.ExitStack() as redirected:
            if not helped:
                nowhere = redirected.enter_context(open(os.devnull, "w", encoding="utf-8"))
                redirected.enter_context(contextlib.redirect_stdout(nowhere))
            call()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:
        print("audioforge: stopped; the same command goes on where it was", file=sys.stderr)  # noqa: T201
        return 130
    except known as error:
        logging.getLogger("audioforge.launch").debug("the error in full", exc_info=True)
        print(f"audioforge: {one_line(cause(error))}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def cause(error: BaseException) -> BaseException:
    """Return what lies under the retries of tenacity."""
    while (
        last := getattr(error, "last_attempt", None)
    ) is not None and last.exception() is not None:
        error = last.exception()
    return error


def close_groups(writer: Any, path: str | None) -> None:
    """Close the groups file and remove an empty one, or the next run would avoid its name."""
    if writer is not None and path is not None:
        writer.close()
        if Path(path).is_file() and not Path(path).stat().st_size:
            Path(path).unlink()


def write_escaped_page(
    groups_file: Path, run_folder: Path, render: Callable[[str, str], object]
) -> None:
    """Write Atropos' page of a groups file, with models' text as text and a player per clip."""
    with tempfile.TemporaryDirectory() as place:
        safe = Path(place) / groups_file.name
        safe.write_text("".join(escaped_groups(groups_file, run_folder)), encoding="utf-8")
        render(str(safe), str(groups_file.with_suffix(".html")))


def escaped_groups(groups_file: Path, run_folder: Path) -> Iterator[str]:
    """Yield the lines of a groups file for Atropos' page: text as text, a player for each clip.

    That page renders messages as Markdown and escapes nothing, so both markup and links of a model
    would be alive. Inside <pre> escaped text is neither.
    """
    with groups_file.open(encoding="utf-8") as lines:
        for line in lines:
            group: dict[str, Any] = json.loads(line)
            for messages, override in zip(group["messages"], group["overrides"], strict=True):
                for message in messages:
                    message["content"] = f"\n\n<pre>{_inert(message['content'])}</pre>\n\n"
                if override["clip"]:
                    source = os.path.relpath(run_folder / override["clip"], groups_file.parent)
                    player = f'<audio controls preload="none" src="{html.escape(source)}"></audio>'
                    messages[-1]["content"] += f"<div>{player}</div>\n\n"
            yield json.dumps(group) + "\n"


def _inert(text: str) -> str:
    """Escape text for <pre> in Markdown; a code fence would be read before the <pre> is."""
    return html.escape(text).replace("`", "&#96;").replace("~", "&#126;")
