"""Training of the embedded text-to-audio model.

- train_stable_audio: the command, stage by stage
- clips: teacher clips and their captions
- design: configuration, tokenizer, starting embeddings
- autoencoder_stage, diffusion_stage, loop: the stages and the loop they share
"""
