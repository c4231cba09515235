"""Shared by all rooms, importing none of them; a closed list.

- audio_processing: Audio, bounded reading, writing, hashing
- spectral_analysis: features of a clip, measured once
- prompt_templates: safe filling of message templates
- wandb_logger: metrics to a JSONL file always, to W&B where there is one
"""
