"""How a network is fine-tuned: every setting, each of which can be switched off by itself."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from earmark.errors import EarmarkError, did_you_mean


@dataclass(frozen=True)
class Recipe:
    """The settings of fine-tuning; 0 (or 1 where that says so) switches one off.

    A rate is the share of its own size (root mean square) that a weight moves by in a step, as in
    Adafactor (Shazeer and Stern 2018): so one rate serves networks whose weights have any scale.
    wav2vec2's usual 3e-5 is 1e-3 of its weights.
    """

    epochs: int = 0  # 0: as many as make STEPS steps, from LEAST_EPOCHS to MOST_EPOCHS
    batch: int = 32  # clips in a step, whatever the number of processes
    rate: float = 0.0  # of the highest layer that is read; 0: RATE, less for few steps
    head_rate: float = 1.0  # of the head, as a factor of the rate
    decay: float = 0.9  # of the rate, from each layer to the one below; 1: none
    warm_up: float = 0.1  # share of the steps in which the rate rises; after it, a half cosine
    weight_decay: float = 0.01
    clip: float = 1.0  # the largest norm of a gradient
    smoothing: float = 0.05  # of labels
    mixup: float = 0.0  # parameter of the beta distribution that mixes two clips
    time_mask: float = 0.1  # SpecAugment: longest stretches of time and of frequency, two of each,
    band_mask: float = 0.15  # as shares of all
    roll: float = 0.1  # largest shift of a clip around its end, as a share of it
    speed: float = 0.15  # largest change of speed, and of pitch with it
    gain_db: float = 6.0  # largest change of loudness
    noise_db: float = 15.0  # least decibels that another clip, laid below, is weaker by
    balanced: bool = True  # each class is heard as often as the largest
    dropout: float = 0.5  # of the features that the head reads
    average: int = 3  # of the last ends of epochs before a look
    patience: int = 0  # 1: a rehearsal ends if half of it has gained nothing; 0: never
    accumulate: int = 1  # parts that a batch is computed in, for less memory
    checkpointing: bool = False  # transformers keep no activations, but compute them twice
    crop_s: float = 10.0  # longer clips are heard in random stretches of so many seconds

    def changed(self, text: str) -> Recipe:
        """Return the recipe with changes such as ``mixup=0,epochs=5``; EarmarkError if wrong."""
        known = {field.name: type(getattr(self, field.name)) for field in dataclasses.fields(self)}
        values: dict[str, object] = {}
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = item.partition("=")
            if name not in known:
                raise EarmarkError(
                    f"no setting {name!r};{did_you_mean(name, known)} known: {', '.join(known)}."
                )
            least, most = LEAST.get(name, 0), MOST.get(name, math.inf)
            is_whole = known[name] is not float
            try:
                number = float(value)
                is_off = number == 0 and name != "batch"
                if not (is_off or least <= number <= most) or math.isinf(number):
                    raise ValueError
                if is_whole and number % 1:
                    raise ValueError
            except ValueError:
                end = "on" if math.isinf(most) else f"to {most:g}"
                raise EarmarkError(
                    f"setting {name!r} is {value!r}; give a {'whole ' if is_whole else ''}number"
                    f" from {least} {end}, such as {name}={getattr(Recipe, name):g}."
                ) from None
            values[name] = known[name](number)
        return dataclasses.replace(self, **values)  # type: ignore[arg-type]


SHARES = ("decay", "warm_up", "smoothing", "time_mask", "band_mask", "roll", "rate", "speed")
SWITCHES = ("balanced", "checkpointing")
LEAST = {"batch": 1, "crop_s": 0.1}
MOST = dict.fromkeys((*SHARES, *SWITCHES), 1.0) | {"gain_db": 60.0}
MOST["dropout"] = 0.95  # of 1 nothing would be left
STEPS, LEAST_EPOCHS, MOST_EPOCHS = 250, 16, 30
RATE, MANY_STEPS = 0.03, 1_000
LOOKS = 2  # ends of epochs, at most about, at which the head is solved and judged


def epochs(recipe: Recipe, clips: int) -> int:
    """Return the number of epochs over so many clips."""
    if recipe.epochs:
        return recipe.epochs
    return int(min(MOST_EPOCHS, max(LEAST_EPOCHS, STEPS * recipe.batch / clips)))


def rate(recipe: Recipe, clips: int) -> float:
    """Return the rate for so many clips: RATE from MANY_STEPS on, less by the root of fewer.

    With few steps the first ones are large ones, and undo what the frozen head knows (decision
    0005).
    """
    steps = epochs(recipe, clips) * clips / recipe.batch
    return recipe.rate or RATE * min(1.0, math.sqrt(steps / MANY_STEPS))
