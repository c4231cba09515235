"""Small backends and places for the tests of the engine."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace

import numpy as np
from engine_backends import Nothing

from audioforge.generation.engine_batch import Pass, run_pass
from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.utils.audio_processing import Audio

CAN = replace(Nothing.capabilities, model="double", note="For tests.")


def request(seed: int, prompt: str = "plain") -> GenerationRequest:
    return GenerationRequest(prompt, 0.01, seed)


def sound(wanted: GenerationRequest) -> Audio:
    """What a request always sounds like, to the last bit."""
    noise = np.random.default_rng(wanted.seed).uniform(-1, 1, (1, 80))
    return Audio(noise.astype(np.float32), CAN.sample_rate)


class Double:
    """Makes noise from the seed. A prompt says what goes wrong.

    "poison" raises, "odd" is a Failure, "invalid" too, "huge" needs a batch of at most 2; with
    `fits`, larger batches run out of memory. `gate` holds every pass until it is set.
    """

    capabilities = CAN
    weights_sha256 = "double-1"

    def __init__(self, device: str = "cpu", fits: int = 10_000) -> None:
        self.fits = fits
        self.batches: list[list[int]] = []
        self.row_evaluations = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def generate(self, requests):
        self.batches.append([r.seed for r in requests])
        self.entered.set()
        assert self.gate.wait(20)
        if len(requests) > self.fits:
            raise MemoryError("no room")
        if any("poison" in r.prompt for r in requests):
            raise RuntimeError("poison\nand more")
        self.row_evaluations += len(requests)
        return [self.one(r, len(requests)) for r in requests]

    def one(self, wanted, mates):
        if "odd" in wanted.prompt:
            return Failure(wanted, "crash", "not finite")
        if "invalid" in wanted.prompt:
            return Failure(wanted, "invalid", "cannot be made")
        if "huge" in wanted.prompt and mates > 2:
            return Failure(wanted, "memory", "out of memory")
        return Clip(wanted, sound(wanted), 0.0)


class Keyed(Double):
    """Makes requests of one prompt at a time."""

    @staticmethod
    def batch_key(wanted):
        return wanted.prompt


class Bound(Double):
    """Its key is a method, which would have to travel with the whole backend."""

    def batch_key(self, wanted):
        return wanted.prompt


class Doomed(Double):
    """In a worker: notes its batches in a file; prompts decide how it ends.

    "kill-once" kills the process the first time, "kill" always, "stick-once" hangs the first time.
    """

    def __init__(self, device: str, log: str) -> None:
        super().__init__()
        self.log = log

    def generate(self, requests):
        words = " ".join(f"{r.prompt}:{r.seed}" for r in requests)
        with open(self.log, "a+", encoding="utf-8") as file:
            file.seek(0)
            before = file.read()
            file.write(f"{os.getpid()} {words}\n")
        for wanted in requests:
            known = f"{wanted.prompt}:{wanted.seed}" in before
            if wanted.prompt == "kill" or (wanted.prompt == "kill-once" and not known):
                os.kill(os.getpid(), 9)
            if wanted.prompt == "stick" or (wanted.prompt == "stick-once" and not known):
                time.sleep(600)
        return super().generate(requests)


def unloadable(device: str) -> Double:
    raise ValueError("no model 'nothing'")


class Mortal:
    """A place whose passes are lost when `dies` says so; a real place otherwise."""

    capabilities = CAN
    weights_sha256 = "double-1"
    lost = False

    def __init__(self, backend: Double, dies) -> None:
        self.backend, self.dies = backend, dies

    def batch_key(self, wanted):
        return ""

    def run(self, requests):
        if self.dies():
            return Pass(fault="died", message="the worker process ended with exit code -9")
        return run_pass(self.backend, requests)

    def stop(self):
        pass
