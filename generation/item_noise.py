"""The noise of one item: what a solo upstream call with its seed would draw, in the same order.

stable-audio-tools seeds the global generators of CPU and GPU with a call's seed, then draws: the
first noise, the noise of the encoder (if it starts from a sound), and what its sampler asks for.
The tree of Brownian samplers takes its entropy from the CPU's generator. Each item here has its
own pair of generators; the global ones are never touched.
"""

from __future__ import annotations

import warnings

import torch


class ItemNoise:
    """Draws for one item.

    Args:
        seed: of the request.
        shape: latent (channels, frames).
        device: where the latents live.
        span: lowest and highest noise level of a Brownian sampler.
    """

    def __init__(
        self,
        seed: int,
        shape: tuple[int, int],
        device: torch.device,
        span: tuple[float, float] | None = None,
    ) -> None:
        self._shape = (1, *shape)
        self.device = device
        self._span = span
        self._own = torch.Generator(device).manual_seed(seed)
        self._cpu = self._own if device.type == "cpu" else torch.Generator().manual_seed(seed)
        self._tree = None

    def white(self) -> torch.Tensor:
        """Draw standard normal noise [1, C, L]."""
        return torch.randn(self._shape, generator=self._own, device=self.device)

    def brownian(self, now: float, after: float) -> torch.Tensor:
        """Return the Brownian increment between two noise levels, of unit variance; [1, C, L]."""
        if self._tree is None:
            from k_diffusion.sampling import BrownianTreeNoiseSampler

            entropy = int(torch.randint(0, 2**63 - 1, [], generator=self._cpu))
            like = torch.zeros(self._shape, device=self.device)
            assert self._span is not None, "a Brownian sampler says between which levels"
            self._tree = BrownianTreeNoiseSampler(like, self._span[0], self._span[1], entropy)
        with warnings.catch_warnings():  # the tree rounds its ends, then finds us outside them
            warnings.filterwarnings("ignore", "Should have t", UserWarning)
            return self._tree(torch.tensor(now), torch.tensor(after))

    def close(self) -> None:
        """Let go of the Brownian path, which keeps many tensors of the item's size."""
        self._tree = None
