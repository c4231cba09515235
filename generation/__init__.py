"""What sounds.

- request: GenerationRequest, InitAudio, Clip, Failure: what is asked and answered
- backend: Capabilities, Backend: what a generator declares and promises
- registry: backends by name
- stable_audio, stable_audio_load, rf_sampler, sat_imports: Stable Audio, in mixed batches
- musicgen, musicgen_load, musicgen_codec: MusicGen of transformers, in mixed batches
- musicgen_player, musicgen_decoder, musicgen_graphs, musicgen_sampling: its decode loop
- audiocraft_backend, audiocraft_imports: audiocraft's own MusicGen, optional
- batches: what a torch backend does around its model
- synth, synth_scene, synth_voices, synth_drums, synth_tonal, synth_textures: the teacher
- synth_backend: the teacher as a backend
- render_references: writes data/evaluation_references
- tiny/: training of the embedded model
"""
