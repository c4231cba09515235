"""Brief: what a target asks for, in typed fields that can be rendered and checked.

A field that is None was not asked for and is not judged. The curated targets, the procedural source
and free text all compile to a Brief; the teacher renders it and the rewards compile it to checks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from audioforge.data.families import FAMILIES, Category

Brightness = Literal["dark", "bright"]
Space = Literal["dry", "spacious"]
Drive = Literal["clean", "distorted"]
Attack = Literal["punchy", "soft"]
Stereo = Literal["mono", "narrow", "wide"]
Element = Literal["bass", "treble", "tones", "noise"]
"""What can be heard in a sound of any kind; struck sounds have a field of their own."""

NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
KEYS = tuple(f"{note} {mode}" for mode in ("major", "minor") for note in NOTES)
MAX_SECONDS = 190.0
"""Longest clip any known backend makes (Stable Audio 3), in seconds."""

_CHOICES: dict[str, tuple[str, ...]] = {
    "brightness": ("dark", "bright"),
    "space": ("dry", "spacious"),
    "drive": ("clean", "distorted"),
    "attack": ("punchy", "soft"),
    "stereo": ("mono", "narrow", "wide"),
    "key": KEYS,
}
ELEMENTS: tuple[Element, ...] = ("bass", "treble", "tones", "noise")
_WINDOWS = {"loudness_lufs": (-70.0, 0.0), "loudness_range_lu": (0.0, 60.0)}
"""Fields that are windows, and the range of their ends."""


@dataclass(frozen=True)
class Brief:
    """What is asked of one clip. None means "not asked, not judged"."""

    category: Category
    family: str | None = None
    """A name in `data.families.FAMILIES`, or None when only the category is known."""
    seconds: float = 4.0
    bpm: float | None = None
    key: str | None = None
    """Such as "A minor", one of KEYS."""
    loop: bool | None = None
    brightness: Brightness | None = None
    space: Space | None = None
    drive: Drive | None = None
    attack: Attack | None = None
    percussion: bool | None = None
    """True: struck sounds must be heard. False: none may be."""
    sustained: bool | None = None
    """True: a continuous texture. False: separate events."""
    loudness_lufs: tuple[float, float] | None = None
    """Lowest and highest integrated loudness, in LUFS."""
    loudness_range_lu: tuple[float, float] | None = None
    """Smallest and largest loudness range, in LU."""
    stereo: Stereo | None = None
    one_shot: bool | None = None
    """True: one event that dies away. False: more than one."""
    gapless: bool | None = None
    """True: sound from begin to end. False: there must be pauses."""
    required: tuple[Element, ...] | None = None
    """What must be heard."""
    forbidden: tuple[Element, ...] | None = None
    """What must not be heard."""

    def __post_init__(self) -> None:
        if self.family is not None and self.family not in FAMILIES:
            raise ValueError(f"family must be one of {sorted(FAMILIES)}, got {self.family!r}")
        if self.family is not None and FAMILIES[self.family].category != self.category:
            home = FAMILIES[self.family].category
            raise ValueError(
                f"family {self.family!r} is in category {home!r}, got {self.category!r}"
            )
        if not 0 < self.seconds <= MAX_SECONDS:
            raise ValueError(f"seconds must be in (0, {MAX_SECONDS:g}], got {self.seconds}")
        if self.bpm is not None and not 30 <= self.bpm <= 300:
            raise ValueError(f"bpm must be in [30, 300], got {self.bpm}")
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise ValueError(f"{name} must be one of {list(allowed)}, got {value!r}")
        for name, (least, most) in _WINDOWS.items():
            window = getattr(self, name)
            if window is not None and not least <= window[0] <= window[1] <= most:
                raise ValueError(f"{name} must rise within [{least:g}, {most:g}], got {window}")
        self._check_elements()

    def _check_elements(self) -> None:
        wanted, unwanted = self.required or (), self.forbidden or ()
        for name, elements in (("required", self.required), ("forbidden", self.forbidden)):
            if elements is not None and (not elements or not set(elements) <= set(ELEMENTS)):
                raise ValueError(f"{name} must hold some of {list(ELEMENTS)}, got {elements!r}")
        if both := sorted(set(wanted) & set(unwanted)):
            raise ValueError(f"required and forbidden must differ, both hold {both}")

    def asked(self) -> dict[str, Any]:
        """Return the fields that were asked for, by name."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}
