"""Names of splits: which mean training, and which mean held out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from earmark.errors import DataError, amount

TRAIN, TEST = "train", "test"
TRAINING = frozenset({"train", "training"})
HELD_OUT = frozenset(
    {"test", "testing", "eval", "evaluation", "val", "valid", "validation", "dev", "holdout"}
)
_FOLD = re.compile(r"fold[ _-]?[0-9]+", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
OFF = "none"  # with this split map, no column and no folder is a split


def role(word: str | None) -> str | None:
    """Return 'train' or 'test' for the name of a split in any case; None for other words."""
    plain = (word or "").strip().casefold()
    return TEST if plain in HELD_OUT else TRAIN if plain in TRAINING else None


def likely_role(*names: str) -> str | None:
    """Return the single role of the words in names such as 'train_audio'; None if not single."""
    words = (word for name in names for word in _WORD.findall(name))
    roles = {role(word) for word in words} - {None}
    return roles.pop() if len(roles) == 1 else None


def rest_of(name: str) -> str:
    """Return a name without numbers and without names of splits."""
    return " ".join(w.casefold() for w in _WORD.findall(name) if role(w) is None)


def is_held_out(word: str | None) -> bool:
    """Return whether clips of this split are held out: scored once, never trained on."""
    return role(word) == TEST


def is_fold(name: str) -> bool:
    """Return whether a name is that of a fold: fold1, fold_2."""
    return _FOLD.fullmatch(name.strip()) is not None


@dataclass(frozen=True)
class SplitMap:
    """The user's ``roles`` by word (in lower case); ``is_off`` means that no word has one."""

    roles: Mapping[str, str] = field(default_factory=dict)
    is_off: bool = False

    @classmethod
    def parse(cls, value: str | Mapping[str, str] | None) -> SplitMap:
        """Read ``'dev=train,gold=test'``, the same as a mapping, or 'none'; DataError if wrong."""
        if value is None or value == "":
            return cls()
        if isinstance(value, str) and value.strip().casefold() == OFF:
            return cls(is_off=True)
        if isinstance(value, Mapping):
            pairs = [(str(word), str(meaning)) for word, meaning in value.items()]
        else:
            pairs = [(w, m) for w, _, m in (item.rpartition("=") for item in value.split(","))]
        roles: dict[str, str] = {}
        for word, meaning in pairs:
            key, means = word.strip().casefold(), role(meaning)
            if not key or means is None:
                raise DataError(
                    f"--split-map is {value!r}. Give WORD=train or WORD=test, separated by commas,"
                    " or none."
                )
            if roles.setdefault(key, means) != means:
                raise DataError(f"--split-map has {word.strip()!r} twice. Give it once.")
        return cls(roles)

    def __str__(self) -> str:
        return OFF if self.is_off else ",".join(f"{w}={m}" for w, m in self.roles.items())

    def applied(self, word: str) -> str:
        """Return what the map says for ``word``, else the word itself."""
        return self.roles.get(word.strip().casefold(), word)


def check_words(words: Iterable[str | None], where: str) -> None:
    """Refuse names of splits that mean neither training nor held out."""
    counts = Counter(word for word in words if word is not None)
    unclear = [word for word in counts if role(word) is None]
    if not unclear:
        return
    folds = " If they are folds, give --fold split." if all(map(_is_number, counts)) else ""
    raise DataError(
        f"{where} has the splits {_counted(counts)}. {_quoted(unclear)} may mean training or test."
        f" Give --split-map {','.join(f'{w}=train' for w in unclear[:3])} (or =test), or"
        f" --split-map none.{folds}"
    )


def division(splits: Iterable[str | None]) -> str:
    """Say how many clips are trained on and how many are held out, with the names of the splits."""
    counts = Counter(word for word in splits if word is not None)
    held_out = {word: count for word, count in counts.items() if is_held_out(word)}
    n_held_out = sum(held_out.values())
    return (
        f"{amount(counts.total() - n_held_out, 'clip')} to train on, {n_held_out:,} held out"
        f" ({_counted(held_out)}), scored once and never trained on"
    )


def changed_since_0_1(splits: Iterable[str | None]) -> str | None:
    """Return a note on clips that earmark 0.1, which knew only 'test', trained on; else None."""
    counts = Counter(word for word in splits if word and is_held_out(word) and word != TEST)
    if not counts:
        return None
    return f"clips of the split {_counted(counts)} are held out; earmark 0.1 trained on them"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{word} {count}" for word, count in list(counts.items())[:8])


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(map(repr, list(words)[:5]))


def _is_number(word: str) -> bool:
    return word.strip().lstrip("-").isdigit()
