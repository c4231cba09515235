"""What sounds.

- request: GenerationRequest, InitAudio, Clip, Failure: what is asked and answered
- backend: Capabilities, Backend: what a generator declares and promises
- registry: backends and engines by name; model_manifest: which weights a name has stood for
- memory_plan: how many clips may fit at once
- engine: Engine, requests from anywhere in full batches; engine_settings, engine_queue,
  engine_batch (one pass), engine_verdict (what follows from it), engine_caps (what fits),
  engine_cache, engine_metrics, engine_process and engine_worker (a backend in a child process)
- stable_audio, stable_audio_load, stable_audio_memory: Stable Audio, in mixed batches
- linear_sampler, rf_sampler, v_sampler, item_noise: its samplers, every item its own
- guided_model, start_audio: what its transformer is told: prompts, guidance, sound to start from
- hub: whether a name is a hub id; files from the hub or its cache
- memory: weights and activations of a model before it is run
- diffusers_backend, diffusers_load: Stable Audio 3 and 1.0 through diffusers' pipelines
- musicgen, musicgen_load, musicgen_player, musicgen_decoder, musicgen_sampling, musicgen_codec,
  musicgen_graphs: MusicGen through transformers' weights and our own decode loop
- audiocraft_backend, audiocraft_imports: audiocraft's own MusicGen, optional
- batches: what a torch backend does around its model; weights_hash: sha256 of weights
- sat_imports: stable-audio-tools where torchaudio and k-diffusion are broken
- synth, synth_scene, synth_voices, synth_drums, synth_tonal, synth_textures: the teacher
- synth_backend: the teacher as a backend
- render_references: writes data/evaluation_references
- tiny/: training of the embedded model
"""
