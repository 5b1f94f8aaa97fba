"""The settings of fine-tuning."""

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
    """The settings of fine-tuning. 0 switches a setting off, unless its line says otherwise.

    The rate is relative: in a step a weight moves by this share of its size (root mean square), as
    in Adafactor (Shazeer and Stern 2018). So one rate serves networks with weights of any scale.
    The usual 3e-5 of wav2vec2 is 1e-3 of its weights.

    Attributes
    ----------
    epochs : int
        0 takes as many as make 250 steps, but at least 16 and at most 30.
    batch : int
        Clips in a step, over all processes together.
    rate : float
        The rate of the head and the highest layer in use. 0 takes 0.03, or less for few steps.
    decay : float
        Each layer has the rate of the layer above times this; 1 gives all the same rate.
    roll : float
        The largest circular shift of a clip, as a share of its length.
    speed : float
        The largest change of speed, and of pitch with it; 0.15 is about 15 %.
    gain_db : float
        The largest change of loudness, in dB.
    noise_db : float
        Another clip is mixed in as noise, weaker by at least this many dB.
    balanced : bool
        Whether clips of small classes are repeated until all classes have the same number.
    dropout : float
        The share of features that is dropped before the head.
    patience : int
        1 ends a rehearsal whose first half gained nothing.
    accumulate : int
        A batch is computed in this many parts, which takes less memory.
    checkpointing : bool
        Whether transformers compute activations twice instead of keeping them.
    crop_s : float
        Of longer clips, a random stretch of this many seconds is used.

    Raises
    ------
    EarmarkError
        A setting does not exist.

    Examples
    --------
    >>> import earmark
    >>> earmark.Recipe(epochs=5).changed("dropout=0").dropout
    0.0
    """

    epochs: int = 0
    batch: int = 32
    rate: float = 0.0
    decay: float = 0.9
    roll: float = 0.1
    speed: float = 0.15
    gain_db: float = 6.0
    noise_db: float = 15.0
    balanced: bool = True
    dropout: float = 0.5
    patience: int = 0
    accumulate: int = 1
    checkpointing: bool = False
    crop_s: float = 10.0

    def __new__(cls, **settings: float) -> Recipe:
        for name in settings:
            _check_name(name)
        return super().__new__(cls)

    def changed(self, text: str) -> Recipe:
        """Return a recipe with changes such as ``dropout=0,epochs=5``; EarmarkError if invalid."""
        values: dict[str, float] = {}
        for item in filter(None, map(str.strip, text.split(","))):
            name, _, value = item.partition("=")
            _check_name(name)
            if name in values:
                raise EarmarkError(f"{name} is given more than once. Give it once.")
            values[name] = _number(name, value)
        return dataclasses.replace(self, **values)  # type: ignore[arg-type]


DEFAULTS: dict[str, float] = {f.name: getattr(Recipe, f.name) for f in dataclasses.fields(Recipe)}
REMOVED = {  # settings of 0.1, and why they were removed (docs/decisions/0007 and 0013)
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
MOST["dropout"] = 0.95  # 1 would drop all features
STEPS, LEAST_EPOCHS, MOST_EPOCHS = 250, 16, 30
RATE, MANY_STEPS = 0.03, 1_000


def _check_name(name: str) -> None:
    """Raise EarmarkError for a setting that was removed or never existed."""
    if name in REMOVED:
        raise EarmarkError(f"setting {name!r} was removed: {REMOVED[name]}. Leave it out.")
    if name not in DEFAULTS:
        known = ", ".join(DEFAULTS)
        raise EarmarkError(f"no setting {name!r}.{did_you_mean(name, DEFAULTS)} Known: {known}.")


def _number(name: str, value: str) -> float:
    """Return the value of a setting; EarmarkError if it is not a number or out of range."""
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
            f"setting {name!r} is {value!r}. Give a {whole}number from {least} {end}, such as"
            f" {name}={DEFAULTS[name]:g}."
        ) from None
    return kind(number)


def epochs(recipe: Recipe, n_clips: int) -> int:
    """Return the number of epochs for ``n_clips`` training clips."""
    if recipe.epochs:
        return recipe.epochs
    return int(min(MOST_EPOCHS, max(LEAST_EPOCHS, STEPS * recipe.batch / n_clips)))


def rate(recipe: Recipe, n_clips: int) -> float:
    """Return the rate for ``n_clips`` training clips.

    It is RATE for MANY_STEPS or more steps. For fewer steps it falls with their square root,
    because large first steps destroy what the frozen head has learned (decision 0005).
    """
    steps = epochs(recipe, n_clips) * n_clips / recipe.batch
    return recipe.rate or RATE * min(1.0, math.sqrt(steps / MANY_STEPS))


def check_method(how: str) -> None:
    """Raise EarmarkError unless ``how`` is 'full', 'lora' or 'last:N'."""
    match = LAST.fullmatch(how)
    if how not in (FULL, LORA) and not (match and int(match[1])):
        raise EarmarkError(
            f"fine-tuning {how!r} is unknown. Give 'full', 'lora', or 'last:N' for the last N"
            " layers, such as 'last:2'."
        )
