"""Training of the embedded text-to-audio models.

tiny-stable-audio:

- train_stable_audio: the command, stage by stage
- clips: teacher clips and their captions
- design: configuration, tokenizer, starting embeddings
- autoencoder_stage, diffusion_stage: the stages

tiny-musicgen:

- train_musicgen: the command, stage by stage
- musicgen_clips: notes, intervals, chords, drum loops and phrases, and their captions
- musicgen_design: configurations and tokenizer
- musicgen_start, musicgen_beat: starting weights of the codec and of the decoder
- musicgen_codec, musicgen_decoder: the stages

- loop: the training loop they share
"""
