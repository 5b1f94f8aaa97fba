"""The table of all backbones by name. torch is imported only when a backbone is described."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from earmark.errors import BackboneError, did_you_mean

if TYPE_CHECKING:
    from earmark.backbones.base import Backbone
    from earmark.backbones.info import BackboneInfo
    from earmark.backbones.weights import WeightFile

# Every built-in name and the module of ``networks`` that registers it. A wrong name is refused at
# once, and only the module that is needed is imported.
BUILT_IN = {
    "efficientat-mn04": "efficientat",
    "efficientat-mn10": "efficientat",
    "logmel": "logmel",
    "speech-embedding": "speech_embedding",
    "vggish": "vggish",
    "wav2vec2-base": "wav2vec2",
    "wav2vec2-base-960h": "wav2vec2",
    "yamnet": "yamnet",
    "yamnet-float32": "yamnet",
}
UNLISTED = dict.fromkeys([f"efficientat-mn{n}" for n in ("05", "20", "30", "40")], "efficientat")
HUGGING_FACE, ONNX, TFLITE = "hf:", "onnx:", "tflite:"
FAMILIES = {
    "vggish@": ("vggish",),
    HUGGING_FACE: ("wav2vec2", "spectrogram_transformers"),
    ONNX: ("own",),
    TFLITE: ("own",),
}
_ENTRY_POINTS = "earmark.backbones"

B = TypeVar("B", bound="type[Backbone]")
Entry = tuple["BackboneInfo", "type[Backbone]"]
_registry: dict[str, Entry] = {}
_families: dict[str, Callable[[str], Entry]] = {}


def register(info: BackboneInfo) -> Callable[[B], B]:
    """Return a class decorator that registers a backbone under ``info.name``.

    Parameters
    ----------
    info : BackboneInfo
        Its description; ``info.name`` must not be registered yet.

    Returns
    -------
    callable
        Takes a subclass of :class:`Backbone` and returns it unchanged.

    Raises
    ------
    ValueError
        By the decorator, if the name is registered already.
    """

    def enter(cls: B) -> B:
        if info.name in _registry:
            raise ValueError(
                f"a backbone called {info.name!r} is registered already; choose another name"
            )
        _registry[info.name] = (info, cls)
        return cls

    return enter


def register_family(prefix: str) -> Callable[[Callable[[str], Entry]], Callable[[str], Entry]]:
    """Register a function that describes every name beginning with ``prefix``, without weights.

    The family may have any number of names, so :func:`list_backbones` lists none of them.
    """

    def enter(describe: Callable[[str], Entry]) -> Callable[[str], Entry]:
        if prefix in _families:
            raise ValueError(
                f"a family of backbones {prefix!r} is registered already; choose another prefix"
            )
        _families[prefix] = describe
        return describe

    return enter


def list_backbones() -> list[str]:
    """Return the names of all backbones: the built-in ones and those of other packages.

    Returns
    -------
    list of str
        In alphabetical order. Large and own networks, such as ``hf:NAME``, are not listed.

    Examples
    --------
    >>> import earmark
    >>> "speech-embedding" in earmark.list_backbones()
    True
    """
    _load_plugins()
    return sorted({*BUILT_IN, *(name for name in _registry if name not in UNLISTED)})


def check_name(name: str) -> None:
    """Raise :class:`BackboneError` for an unknown name and suggest one. Imports no network."""
    if name in BUILT_IN or name in UNLISTED or name.startswith(tuple(FAMILIES)):
        return
    _load_plugins()
    if name not in _registry and not name.startswith(tuple(_families)):
        known = [*list_backbones(), *(f"{prefix}..." for prefix in {**FAMILIES, **_families})]
        raise BackboneError(
            f"no backbone {name!r}.{_suggest(name, known)} Known: {', '.join(known)}."
        )


def _suggest(name: str, known: Sequence[str]) -> str:
    """Suggest a name, also for a network file without a prefix and for a misspelt family."""
    prefix, colon, _ = name.rpartition(":")
    for family in (ONNX, TFLITE):
        if not colon and name.lower().endswith(f".{family[:-1]}"):
            return f" Did you mean '{family}{name}'?"
    return did_you_mean(f"{prefix}:..." if colon else name, known)


def absolute_name(name: str) -> str:
    """Make the path in ``hf:FOLDER``, ``onnx:FILE`` or ``tflite:FILE`` absolute, if it exists.

    Any other name is returned unchanged. Names are saved in classifiers, and classifiers are used
    from other folders.
    """
    name = name.strip()
    exists = {HUGGING_FACE: os.path.isdir, ONNX: os.path.exists, TFLITE: os.path.exists}
    prefix = next((prefix for prefix in exists if name.startswith(prefix)), "")
    text = name.removeprefix(prefix)
    path = os.path.abspath(os.path.expanduser(text))
    return f"{prefix}{path}" if prefix and text and exists[prefix](path) else name


def split_names(names: str) -> list[str]:
    """Split ``names`` at commas and make paths absolute; refuse unknown and repeated names."""
    several = [absolute_name(name) for name in names.split(",")]
    for name in several:
        try:
            check_name(name)
        except BackboneError as error:
            if not any(other.startswith((HUGGING_FACE, ONNX, TFLITE)) for other in several):
                raise
            text = f"{error} Commas separate names, so a path here cannot contain a comma."
            raise BackboneError(text) from error
    if len(set(several)) < len(several):
        raise BackboneError(f"backbone {names!r} has a name twice. Give each name once.")
    return several


def check_several(names: Sequence[str]) -> None:
    """Raise BackboneError for fewer than two backbones, because a comparison needs two."""
    if len(names) < 2:
        raise BackboneError(
            f"a comparison needs two or more backbones and got only {names[0]!r}. Give several,"
            " separated by commas."
        )


def info(name: str) -> BackboneInfo:
    """Return the description of a backbone without loading its weights.

    Raises BackboneError with the nearest known name if ``name`` is unknown.
    """
    return entry(name)[0]


def load_backbone(
    name: str, precision: str = "exact", engine: str = "auto", *, version: int | None = None
) -> Backbone:
    """Load a pretrained network, ready for inference: no gradients, evaluation mode.

    Parameters
    ----------
    name : str
        A name of :func:`list_backbones`, ``vggish@SECONDS``, ``hf:NAME-OR-FOLDER``, or a network
        of your own: ``onnx:FILE`` or ``tflite:FILE``.
    precision : str
        'exact' or 'float32' computes in float32. 'fast' takes the fastest number format whose
        embeddings keep a cosine of 0.999 to those. 'bfloat16' and 'float16' compute in that format
        in plain PyTorch.
    engine : str
        The software that computes it: 'auto', 'torch' or 'openvino'.
    version : int, optional
        An earlier version of the backbone; by default the newest.

    Returns
    -------
    Backbone
        A ``torch.nn.Module``; ``backbone.info`` says its rate, windows and layers.

    Raises
    ------
    BackboneError
        The name, version, precision or engine is unknown, or the weights are missing or damaged.

    Examples
    --------
    >>> import earmark
    >>> backbone = earmark.load_backbone("speech-embedding")
    >>> backbone.info.rate_hz
    16000
    """
    from earmark.backbones import engines

    description, cls = entry(name)
    backbone = cls.load(description.at_version(version)).eval().requires_grad_(False)
    if precision in ("bfloat16", "float16"):
        return backbone.cast(precision)
    return engines.set_engine(backbone, "exact" if precision == "float32" else precision, engine)


def weight_files(name: str) -> tuple[WeightFile, ...]:
    """Return the weight files of the backbone called ``name``, to find or to fetch."""
    description, cls = entry(name)
    return cls.weight_files(description)


def entry(name: str) -> Entry:
    """Import the module of a backbone; return the backbone's description and class."""
    check_name(name)
    modules = [table[name] for table in (BUILT_IN, UNLISTED) if name in table]
    for prefix, several in FAMILIES.items():
        modules += several if name.startswith(prefix) else ()
    for module in modules:
        importlib.import_module(f"earmark.backbones.networks.{module}")
    if name in _registry:
        return _registry[name]
    describe = next(d for prefix, d in _families.items() if name.startswith(prefix))
    return describe(name)


def _load_plugins() -> None:
    """Import the packages that register further backbones; each is imported once."""
    for point in importlib.metadata.entry_points(group=_ENTRY_POINTS):
        point.load()
