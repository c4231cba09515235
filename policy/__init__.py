"""policy: the language-model side.

server        OpenAI-compatible server for any local causal LM folder, with vLLM's /generate
wire          the bodies the server reads and writes
batcher       questions that arrive together share a forward pass; a bounded queue
local_llm     a causal LM folder: batched answers with token ids and log-probabilities
drawing       how answers are asked for, and how their tokens are drawn
client        any OpenAI-compatible endpoint as the language model of a run
embedded      the model that ships with the code, served by a child process
asker         the language model of a training environment, as text and as tokens
servers       which servers it asks, settled before a run starts
credit        what of an answer is trained on, where only a part of it counts
following     how a conversation goes on, token by token
learn         a whole training on one machine: four processes, one command
train_grpo    the trainer: batches from Atropos' API, GRPO, weights to the server; resumable
learner       a model, its optimiser, and what a batch does to them; grpo.py: the loss
training_api  the trainer's calls, with patience
weights       what a trainer hands to the server; checkpoints.py: where a training was
body_limit    a bound on request bodies
patience      servers that name a wait get it, broken answers are found at once
train_sft     trains data/models/tiny-policy on the action format
sft_batches   its recipe, its token batches and its loss
sft_texts     what it is taught on: messages, and answers from weak to good
drills        what it is taught first: to repeat what was said
tokenizer     its byte-level BPE tokenizer and chat template
"""
