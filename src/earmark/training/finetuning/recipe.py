"""How a network is fine-tuned: the settings."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass

from earmark.errors import EarmarkError, did_you_mean

FULL, LORA = "full", "lora"
LAST = re.compile(r"last:(\d+)")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of fine-tuning; 0 (or 1 where that says so) switches one off.

    A rate is the share of its own size (root mean square) that a weight moves by in a step, as in
    Adafactor (Shazeer and Stern 2018): so one rate serves networks whose weights have any scale.
    wav2vec2's usual 3e-5 is 1e-3 of its weights. EarmarkError for a setting that does not exist.
    """

    epochs: int = 0  # 0: as many as make STEPS steps, from LEAST_EPOCHS to MOST_EPOCHS
    batch: int = 32  # clips in a step, whatever the number of processes
    rate: float = 0.0  # of the head and the highest layer that is read; 0: RATE, less for few steps
    decay: float = 0.9  # of the rate, from each layer to the one below; 1: none
    roll: float = 0.1  # largest shift of a clip around its end, as a share of it
    speed: float = 0.15  # largest change of speed, and of pitch with it
    gain_db: float = 6.0  # largest change of loudness
    noise_db: float = 15.0  # least decibels that another clip, laid below, is weaker by
    balanced: bool = True  # each class is heard as often as the largest
    dropout: float = 0.5  # of the features that the head reads
    patience: int = 0  # 1: a rehearsal ends if half of it has gained nothing; 0: never
    accumulate: int = 1  # parts that a batch is computed in, for less memory
    checkpointing: bool = False  # transformers keep no activations, but compute them twice
    crop_s: float = 10.0  # longer clips are heard in random stretches of so many seconds

    def __new__(cls, **settings: float) -> Recipe:
        for name in settings:
            _check_name(name)
        return super().__new__(cls)

    def changed(self, text: str) -> Recipe:
        """Return the recipe with changes such as ``dropout=0,epochs=5``; EarmarkError if wrong."""
        values: dict[str, float] = {}
        for item in filter(None, map(str.strip, text.split(","))):
            name, _, value = item.partition("=")
            _check_name(name)
            if name in values:
                raise EarmarkError(f"{name} is given more than once; give it once.")
            values[name] = _number(name, value)
        return dataclasses.replace(self, **values)  # type: ignore[arg-type]


DEFAULTS: dict[str, float] = {f.name: getattr(Recipe, f.name) for f in dataclasses.fields(Recipe)}
REMOVED = {  # settings of 0.1, and why they have gone (docs/decisions/0007 and 0013)
    "mixup": "it gained nothing beyond chance",
    **dict.fromkeys(
        ("average", "clip", "head_rate", "smoothing", "warm_up", "weight_decay"),
        "no measurement gained by changing it, so its default is always used",
    ),
    **dict.fromkeys(("time_mask", "band_mask"), "SpecAugment gained nothing beyond chance"),
}
SHARES = ("decay", "roll", "rate", "speed")
SWITCHES = ("balanced", "checkpointing")
LEAST = {"batch": 1, "crop_s": 0.1}
MOST = dict.fromkeys((*SHARES, *SWITCHES), 1.0) | {"gain_db": 60.0}
MOST["dropout"] = 0.95  # of 1 nothing would be left
STEPS, LEAST_EPOCHS, MOST_EPOCHS = 250, 16, 30
RATE, MANY_STEPS = 0.03, 1_000


def _check_name(name: str) -> None:
    """Refuse a setting that was removed, or never was."""
    if name in REMOVED:
        raise EarmarkError(f"setting {name!r} was removed: {REMOVED[name]}; leave it out.")
    if name not in DEFAULTS:
        known = ", ".join(DEFAULTS)
        raise EarmarkError(f"no setting {name!r};{did_you_mean(name, DEFAULTS)} known: {known}.")


def _number(name: str, value: str) -> float:
    """Return the value of a setting; EarmarkError if it is no number or out of range."""
    kind = type(DEFAULTS[name])
    least, most = LEAST.get(name, 0), MOST.get(name, math.inf)
    try:
        number = float(value)
        is_off = number == 0 and name != "batch"
        if not (is_off or least <= number <= most) or math.isinf(number):
            raise ValueError
        if kind is not float and number % 1:
            raise ValueError
    except ValueError:
        whole = "" if kind is float else "whole "
        end = "on" if math.isinf(most) else f"to {most:g}"
        raise EarmarkError(
            f"setting {name!r} is {value!r}; give a {whole}number from {least} {end}, such as"
            f" {name}={DEFAULTS[name]:g}."
        ) from None
    return kind(number)


def epochs(recipe: Recipe, n_clips: int) -> int:
    """Return the number of epochs over so many clips."""
    if recipe.epochs:
        return recipe.epochs
    return int(min(MOST_EPOCHS, max(LEAST_EPOCHS, STEPS * recipe.batch / n_clips)))


def rate(recipe: Recipe, n_clips: int) -> float:
    """Return the rate for so many clips: RATE from MANY_STEPS on, less by the root of fewer.

    With few steps the first ones are large, and undo what the frozen head knows (decision 0005).
    """
    steps = epochs(recipe, n_clips) * n_clips / recipe.batch
    return recipe.rate or RATE * min(1.0, math.sqrt(steps / MANY_STEPS))


def check_method(how: str) -> None:
    """Refuse a ``how`` that is neither 'full', 'lora' nor 'last:N'."""
    match = LAST.fullmatch(how)
    if how not in (FULL, LORA) and not (match and int(match[1])):
        raise EarmarkError(
            f"fine-tuning {how!r} is unknown; give 'full', 'lora', or 'last:N' for the last N"
            " layers, such as 'last:2'."
        )
