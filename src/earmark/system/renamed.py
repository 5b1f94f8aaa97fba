"""Names of version 0.1; they work until 0.3, with a warning that gives the new name."""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import types
import warnings
from collections.abc import Callable, Sequence

# Modules of 0.1, and the modules below ``earmark`` that define their names now.
MODULES = {
    "archives": "system.unpacking",
    "audio": "audio audio.reading audio.source errors",
    "backbones": "backbones backbones.base backbones.registry errors",
    "backbones.audioset": "backbones.networks.audioset classifier.tagging",
    "bank": "training.kernels",
    "baselines": "training.baselines",
    "calibration": "classifier.calibration",
    "classifier": "classifier classifier.file classifier.prediction system.files",
    "cli": "apps.cli",
    "clips": "data.clip data.rows",
    "comparison": "training.comparison",
    "dataset": "data.dataset data.clip data.folders system.files",
    "decisions": "labelling.corrections",
    "decoders": "audio.decoder audio.libsndfile audio.ffmpeg audio.source",
    "doctor": "data.doctor",
    "embed": "embeddings.embedding embeddings.pooling embeddings.pipeline embeddings.computing"
    " embeddings.stages system.progress",
    "embedding_files": "embeddings.files",
    "engines": "backbones.engines",
    "estimation": "training.estimation",
    "evaluation": "training.evaluation",
    "finetuning": "training.finetuning",
    "heads": "classifier.head classifier.targets training.parallel training.heads",
    "known_data": "data.known.sets data.known.catalogue",
    "label_tracks": "data.annotations",
    "learning_curve": "training.learning_curve",
    "limits": "classifier.decision",
    "manifests": "data.tables",
    "metrics": "training.metrics",
    "readings": "classifier.features training.candidates backbones.layers",
    "recordings": "data.folders",
    "report": "report report.contents",
    "report.evidence": "report.contents",
    "review": "labelling.reviewing labelling.suspects",
    "selection": "training.selection",
    "sources": "data.dataframes data.huggingface data.embedded",
    "splits": "data.splits",
    "store": "embeddings.store system.cache",
    "tagging": "classifier.tagging",
    "training": "training training.training",
    "tuned": "backbones.tuned_weights",
    "unknown": "training.unknown",
    "waveforms": "embeddings.cutting embeddings.sections embeddings.stages",
    "weights": "backbones.weights backbones.tensors system.download",
}
for _old, _new, _modules in [
    (
        "backbones",
        "backbones.networks",
        "efficientat huggingface logmel spectrogram_transformers speech_embedding tflite_weights"
        " vggish wav2vec2 yamnet",
    ),
    ("doctor", "data.doctor", "copies facts findings near_duplicates recordings tables"),
    (
        "finetuning",
        "training.finetuning",
        "augment batches checkpoints conduct judging model optimiser recipe run",
    ),
]:
    MODULES |= {f"{_old}.{name}": f"{_new}.{name}" for name in _modules.split()}

NAMES = {
    "bank.Bank": "FeatureTable",
    "backbones.create": "load_backbone",
    "backbones.names": "list_backbones",
    "classifier.write_atomically": "write_whole",
    "create": "load_backbone",
    "embed.outcomes": "embed_stream",
    "engines.equip": "set_engine",
    "limits.Limits": "DecisionRule",
    "limits.disbelief": "nonconformity",
    "readings.Part": "Statistic",
    "readings.Reading": "FeatureSpec",
    "readings.features": "compute_features",
    "readings.part_features": "compute_statistic",
    "readings.parts": "list_statistics",
    "readings.statistic": "statistic_values",
    "report.Evidence": "ReportContents",
    "report.evidence_of": "contents_of_training",
    "report.evidence_of_evaluation": "contents_of_evaluation",
    "selection.Evidence": "InnerLogits",
    "selection.Lesson": "FoldPlan",
    "training.Heard": "EmbeddedData",
    "tuned.put_on": "apply_tuned_weights",
    "unknown.Border": "UnknownThreshold",
    "unknown.find_border": "find_threshold",
}
# Modules of 0.1 that are functions now, and the function in each that the docs of 0.1 used.
FUNCTIONS = {"doctor": "examine", "embed": "embed", "review": "review"}


def look_up(module: str, name: str) -> object:
    """Return the object that 0.1 called ``name`` in ``module``, with a DeprecationWarning.

    The warning gives the new name. Raises AttributeError if 0.1 had no such name.
    """
    new_name = NAMES.get(f"{module}.{name}" if module else name, name)
    for home in MODULES.get(module, "").split() if module else ["backbones"] * (name in NAMES):
        home_module = importlib.import_module(f"earmark.{home}")
        is_public = new_name in getattr(home_module, "__all__", ())
        thing = getattr(home_module, new_name) if is_public else vars(home_module).get(new_name)
        if thing is not None and not isinstance(thing, types.ModuleType):  # not an import of it
            old = ".".join(filter(None, ("earmark", module, name)))
            new = f"earmark.{new_name}" if not module else f"earmark.{home}.{new_name}"
            warnings.warn(
                f"{old} is now {new}; the old name works until 0.3.",
                DeprecationWarning,
                stacklevel=3,
            )
            return thing
    raise AttributeError(f"module 'earmark.{module}' has no attribute {name!r}".replace(".'", "'"))


def with_old_calls(name: str, function: object) -> object:
    """Make calls of 0.1 such as ``earmark.review.review(...)`` work on today's functions."""
    old = FUNCTIONS.get(name)

    def call(*arguments: object, **options: object) -> object:
        function_now = look_up(name, str(old))
        assert callable(function_now)
        return function_now(*arguments, **options)

    if old is not None and not hasattr(function, old):
        setattr(function, old, call)
    return function


class _Module(types.ModuleType):
    """A module of 0.1; it can be called, because its name may be a function today."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return look_up(self.__name__.removeprefix("earmark."), name)

    def __call__(self, *arguments: object, **options: object) -> object:
        function = sys.modules["earmark"].__getattr__(self.__name__.removeprefix("earmark."))
        assert callable(function)
        return function(*arguments, **options)


class _Finder:
    """Finds and loads modules of 0.1 that no longer exist; also for ``python -m earmark.cli``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        root, _, name = fullname.partition(".")
        if root != "earmark" or not (name in MODULES or name == "cli.__main__"):
            return None
        is_package = any(other.startswith(f"{name}.") for other in (*MODULES, "cli.__main__"))
        return importlib.machinery.ModuleSpec(
            fullname,
            self,  # type: ignore[arg-type]  # importing its base class takes 10 ms
            origin=fullname,
            is_package=is_package,
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass  # names are looked up at their first use

    def get_code(self, fullname: str) -> types.CodeType:
        return compile("from earmark.apps.cli import main\nmain()\n", fullname, "exec")


def install() -> None:
    """Make the modules of 0.1 importable; a second call does nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def public_names(homes: dict[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of the package ``earmark``; see :func:`lazy.hand_on`."""

    def get(name: str) -> object:
        if name in homes:
            module = importlib.import_module(f"earmark.{homes[name]}")
            return with_old_calls(name, getattr(module, name))
        if name in NAMES:
            return look_up("", name)
        try:
            return importlib.import_module(f"earmark.{name}")  # a room, or a module of 0.1
        except ModuleNotFoundError as error:
            if error.name != f"earmark.{name}":  # a package that the module needs
                raise
            raise AttributeError(f"module 'earmark' has no attribute {name!r}") from None

    return get
