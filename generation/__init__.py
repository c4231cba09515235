"""What sounds.

- request: GenerationRequest, InitAudio, Clip, Failure: what is asked and answered
- backend: Capabilities, Backend: what a generator declares and promises
- registry: backends and engines by name; model_manifest: which weights a name has stood for
- memory: how many clips may fit at once
- stable_audio, stable_audio_load, rf_sampler, sat_imports: Stable Audio, in mixed batches
- engine: Engine, requests from anywhere in full batches; engine_settings, engine_queue,
  engine_batch (one pass), engine_verdict (what follows from it), engine_caps (what fits),
  engine_cache, engine_metrics, engine_process and engine_worker (a backend in a child process)
- synth, synth_scene, synth_voices, synth_drums, synth_tonal, synth_textures: the teacher
- synth_backend: the teacher as a backend
- render_references: writes data/evaluation_references
- tiny/: training of the embedded model
"""
