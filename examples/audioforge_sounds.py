"""The taskset under a name that verifiers' loader takes: put this folder on PYTHONPATH.

vf-eval audioforge_sounds ...: see docs/adapters.md
"""

from audioforge.adapters.verifiers_taskset import SoundTaskset

__all__ = ["SoundTaskset"]
