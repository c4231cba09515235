"""The rooms and who may import whom, as docs/architecture.md tells it."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "utils": set(),
    "data": {"utils"},
    "generation": {"data", "utils"},
    "reward_functions": {"data", "utils"},
    "rollouts": {"data", "generation", "reward_functions", "utils"},
    "policy": {"data", "rollouts", "utils"},
    "adapters": {"data", "rollouts", "utils"},
}
UTILS = {
    "__init__",
    "audio_processing",
    "loudness",
    "spectral_analysis",
    "spectral_shapes",
    "prompt_templates",
    "parameter_optimizer",
    "wandb_logger",
}
FRAMEWORKS = {"gymnasium", "trl", "openenv", "verifiers"}
HEAVY = FRAMEWORKS | {
    *("torch", "transformers", "stable_audio_tools", "atroposlib", "wandb", "fastapi", "openai"),
}
NOT_ROOMS = {"audioforge", "artifacts", "benchmarks", "configs", "docs", "examples", "tests"}


def modules(room):
    return sorted((ROOT / room).rglob("*.py"))


def imports(path):
    """Yield (module, is it at the file's top level) for every import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) in top
            yield from ((f"{node.module}.{alias.name}", id(node) in top) for alias in node.names)


def rooms_on_disk():
    folders = {p.parent.name for p in ROOT.glob("*/__init__.py")}
    return folders - NOT_ROOMS


def test_the_table_names_every_room():
    assert rooms_on_disk() == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room):
    allowed = ROOMS[room] | {room}
    for path in modules(room):
        for name, _ in imports(path):
            parts = name.split(".")
            if parts[0] == "audioforge" and len(parts) > 1:
                assert parts[1] in allowed, f"{path.relative_to(ROOT)} imports {name}"
            assert parts[0] not in ROOMS, f"{path.relative_to(ROOT)}: write audioforge.{name}"


def test_only_the_environment_imports_atropos():
    for path in [p for room in ROOMS for p in modules(room)]:
        assert not any(n.split(".")[0] == "atroposlib" for n, _ in imports(path)), path


def test_only_their_adapters_import_training_frameworks():
    for path in [p for room in ROOMS if room != "adapters" for p in modules(room)]:
        assert not FRAMEWORKS & {n.split(".")[0] for n, _ in imports(path)}, path


@pytest.mark.parametrize("room", ROOMS)
def test_no_package_imports_anything_heavy_when_it_is_imported(room):
    for path in (ROOT / room).rglob("__init__.py"):
        heavy = {n.split(".")[0] for n, _ in imports(path)} & HEAVY
        assert not heavy, f"{path.relative_to(ROOT)} imports {sorted(heavy)}"


def test_utils_is_closed():
    assert {p.stem for p in modules("utils")} <= UTILS


def test_the_package_lists_every_room():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    told = project["tool"]["setuptools"]
    folders = {
        ".".join(("audioforge", *p.parent.relative_to(ROOT).parts))
        for room in ROOMS
        for p in (ROOT / room).rglob("__init__.py")
    }
    assert set(told["packages"]) == folders | {"audioforge"}
    assert set(told["package-dir"]) == folders


def test_root_holds_one_module():
    assert {p.name for p in ROOT.glob("*.py")} == {"audioforge_env.py"}


@pytest.mark.parametrize(
    "path", [p for r in ROOMS for p in modules(r)], ids=lambda p: str(p.relative_to(ROOT))
)
def test_files_stay_short_enough_to_read(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 320
