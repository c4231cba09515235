"""AudioForge, importable as `audioforge` from a checkout or from a wheel.

A wheel nests the packages here. In a checkout they are the folders beside this one.

Of its own it has the `audioforge` command. cli.py gathers the sub-commands of the cli_*.py:

doctor          what is usable here, why not, what to install
cli_targets     targets: validated, listed
cli_score       score and compare: score_run (files into rows), score_rows (formats), score_pages
                and score_plots (a page of one set), compare_page (of two)
cli_generate    generate: generate_plan (what is asked), generate_run (made, resumable)
cli_models      models: licence, size and checksum
cli_optimize    optimize: optimize_pages (figures and pictures)
cli_export      export: rollouts as SFT and DPO rows
"""

from pathlib import Path

_root = Path(__file__).resolve().parents[1]
if (_root / "pyproject.toml").is_file():
    __path__.append(str(_root))
