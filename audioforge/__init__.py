"""AudioForge, importable as `audioforge` from a checkout or from a wheel.

A wheel nests the packages here. In a checkout they are the folders beside this one.
"""

from pathlib import Path

_root = Path(__file__).resolve().parents[1]
if (_root / "pyproject.toml").is_file():
    __path__.append(str(_root))
