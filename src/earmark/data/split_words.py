"""The words that name splits: which clips are held out, and which are trained on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from earmark.errors import DataError

TRAIN, TEST = "train", "test"
TRAINING = frozenset({"train", "training"})
HELD_OUT = frozenset(
    {"test", "testing", "eval", "evaluation", "val", "valid", "validation", "dev", "holdout"}
)
_FOLD = re.compile(r"fold[ _-]?[0-9]+", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
OFF = "none"  # the split map that takes no column and no folder for a split


def role(word: str | None) -> str | None:
    """Return 'train' or 'test', whatever the case of ``word``; None where it names no split."""
    plain = (word or "").strip().casefold()
    return TEST if plain in HELD_OUT else TRAIN if plain in TRAINING else None


def likely_role(*names: str) -> str | None:
    """Return the role that a word in these names has, such as 'train_audio'; None if not one."""
    words = (word for name in names for word in _WORD.findall(name))
    roles = {role(word) for word in words} - {None}
    return roles.pop() if len(roles) == 1 else None


def rest_of(name: str) -> str:
    """Return a name without its numbers and without the words that name splits."""
    return " ".join(w.casefold() for w in _WORD.findall(name) if role(w) is None)


def is_held_out(word: str | None) -> bool:
    """Say whether clips of this split are scored once and never trained on."""
    return role(word) == TEST


def is_fold(name: str) -> bool:
    """Say whether a folder's name is that of a fold: fold1, fold_2."""
    return _FOLD.fullmatch(name.strip()) is not None


@dataclass(frozen=True)
class SplitMap:
    """What the user says that words mean: ``roles`` by word, without case; or that none is one."""

    roles: Mapping[str, str] = field(default_factory=dict)
    is_off: bool = False

    @classmethod
    def parse(cls, given: str | Mapping[str, str] | None) -> SplitMap:
        """Read ``'dev=train,gold=test'``, the same as a mapping, or 'none'; DataError if wrong."""
        if given is None or given == "":
            return cls()
        if isinstance(given, str) and given.strip().casefold() == OFF:
            return cls(is_off=True)
        if isinstance(given, Mapping):
            pairs = [(str(word), str(meaning)) for word, meaning in given.items()]
        else:
            pairs = [(w, m) for w, _, m in (item.rpartition("=") for item in given.split(","))]
        roles: dict[str, str] = {}
        for word, meaning in pairs:
            key, means = word.strip().casefold(), role(meaning)
            if not key or means is None:
                raise DataError(
                    f"--split-map {given!r} is not understood; give WORD=train or WORD=test with"
                    " commas between, or none."
                )
            if roles.setdefault(key, means) != means:
                raise DataError(f"--split-map names {word.strip()!r} twice; name it once.")
        return cls(roles)

    def __str__(self) -> str:
        return OFF if self.is_off else ",".join(f"{w}={m}" for w, m in self.roles.items())

    def applied(self, word: str) -> str:
        """Return what the map says for ``word``, else the word itself."""
        return self.roles.get(word.strip().casefold(), word)


def check_words(words: Iterable[str | None], where: str) -> None:
    """Refuse words of which it is not known whether they are held out."""
    seen = Counter(word for word in words if word is not None)
    strange = [word for word in seen if role(word) is None]
    if not strange:
        return
    folds = "; if they are folds, give --fold split" if all(map(_is_number, seen)) else ""
    raise DataError(
        f"{where} has the splits {_counted(seen)}; {_quoted(strange)} may be to train on or to"
        f" test on: give --split-map {','.join(f'{w}=train' for w in strange[:3])} (or =test), or"
        f" --split-map none{folds}."
    )


def division(splits: Iterable[str | None]) -> str:
    """Say how many clips are trained on and how many are held out, under which words."""
    seen = Counter(word for word in splits if word is not None)
    held = {word: count for word, count in seen.items() if is_held_out(word)}
    trained = sum(seen.values()) - sum(held.values())
    return (
        f"{trained} clips to train on, {sum(held.values())} held out ({_counted(held)}), scored"
        " once and never trained on"
    )


def changed_since_0_1(splits: Iterable[str | None]) -> str | None:
    """Say which clips earmark 0.1, which knew the word 'test' only, would have trained on."""
    seen = Counter(word for word in splits if word and is_held_out(word) and word != TEST)
    if not seen:
        return None
    return f"clips of the split {_counted(seen)} are held out; earmark 0.1 trained on them"


def _counted(seen: Mapping[str, int]) -> str:
    return ", ".join(f"{word} {count}" for word, count in list(seen.items())[:8])


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(map(repr, list(words)[:5]))


def _is_number(word: str) -> bool:
    return word.strip().lstrip("-").isdigit()
