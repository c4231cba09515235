"""Shared by all rooms, importing none of them; a closed list.

- audio_processing: Audio, bounded reading, writing, hashing
- loudness: LUFS after ITU-R BS.1770-4
- spectral_analysis: features of a clip, measured once
- spectral_shapes: what is read from power spectra, of arrays or tensors
- parameter_optimizer: search for settings with much reward and little cost
- prompt_templates: safe filling of message templates
- wandb_logger: what trackers are given, and the one for W&B (rollouts.board guards it)
"""
