"""Every command line of README and docs is right: it parses, and it runs on stand-ins in a clone.

A reader has the clone and nothing else. So a command may read the shipped example, what an earlier
command of its page wrote, and the usual names for a reader's own files (``STAND_INS``).
"""

import ast
import importlib.util
import inspect
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer

import earmark as library
from command_line import earmark
from earmark.apps.cli.app import app
from hub import running_hub, use_hub
from pages import PAGES, ROOT, Command, named_commands, shown_commands, synopses

SHOWN, SYNOPSES, NAMED = shown_commands(), synopses(), named_commands()
COMMANDS = typer.main.get_command(app)
PROJECT = (ROOT / "pyproject.toml").read_text()
EXTRAS = re.findall(r"^(\w+) = \[", PROJECT.partition("optional-dependencies]")[2], re.M)

# Commands that are parsed and not run, and why.
NOT_RUN = (
    (r"s3://|clips.npz --allow-remote", "its recordings are elsewhere"),
    (r"export .*--web", "downloads onnxruntime-web"),
    (r"(data|backbones) fetch ", "downloads"),
    (r"^earmark (serve|studio)", "runs until it is stopped"),
    (r"sounds/[A-Z]", "reads what `earmark data fetch --to sounds` downloads"),
    (r"(?<!show )(yamnet|vggish|wav2vec2|efficientat)|earmark tag", "needs published weights"),
)
OF_OTHERS = {"onnxruntime", "soundfile", "soxr"}  # packages that a page installs by name
# Lines of output that depend on the weights at hand.
OPTIONAL_LINES = {"warning"}


def why_not_run(command: Command) -> str:
    """Return the reason why a command is parsed only; empty if it is run."""
    if command.words[0] != "earmark":
        return "another program"
    return next((why for part, why in NOT_RUN if re.search(part, command.text)), "")


# Parsing


def resolved(words: list[str]) -> tuple[typer.core.TyperCommand, list[str]]:
    """Return the command that ``earmark ...`` names, and its arguments; it has their options."""
    command, rest = COMMANDS, words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"earmark has no command {rest[0]!r}"
        command, rest = command.commands[rest[0]], rest[1:]
    options = {"--help"}
    for parameter in command.params:
        options |= {*parameter.opts, *parameter.secondary_opts}
    unknown = {word.partition("=")[0] for word in rest if re.match("--?[a-z]", word)} - options
    assert not unknown, f"earmark {command.name} has no option {unknown}"
    return command, rest


def parse(words: list[str], is_partial: bool = False) -> None:
    """Parse ``earmark ...`` as a run would; ``is_partial`` allows parts left out."""
    command, rest = resolved(words)
    if "--help" in rest or hasattr(command, "commands"):
        return
    try:
        words = [{"N": "1"}.get(word, word) for word in rest if word != "..."]
        command.make_context(command.name, words)
    except Exception as error:
        if not (is_partial and "missing" in type(error).__name__.lower()):
            raise


def check(command: Command, is_partial: bool) -> None:
    program, *rest = command.words
    if program == "earmark":
        if rest[:1] != ["COMMAND"]:
            parse(command.words, is_partial)
    elif program == "python" and rest[0] == "-m":
        assert importlib.util.find_spec(rest[1])
    elif program == "python":
        (script, *_) = (word for word in rest if not word.startswith("-") and "::" not in word)
        assert script.startswith("your_") or (ROOT / script).is_file()
    elif program == "make":
        makefile = (ROOT / "Makefile").read_text()
        for word in rest:  # a target, or NAME=VALUE
            assert re.search(f"^{word.partition('=')[0]}( [?])?[:=]", makefile, re.M), word
    elif rest[:1] == ["install"] and "--find-links" not in rest:  # no index has earmark yet
        for package in set(rest[1:]) - OF_OTHERS:
            named = re.fullmatch(r"\.(?:\[([a-z,]+)\])?", package)
            assert named, f"pip cannot install {package!r}"
            assert set((named[1] or "").split(",")) <= {"", *EXTRAS}


def ids(commands: list[Command]) -> list[str]:
    return [f"{command.page}-{command.text[:60]}" for command in commands]


def test_commands_are_found():
    assert len(SHOWN) > 25 and len(NAMED) > 60
    assert {command.page for command in SHOWN} > {"README.md", "docs/doctor.md", "CONTRIBUTING.md"}
    assert any(command.output for command in SHOWN)


@pytest.mark.parametrize(
    "text",
    [
        "earmark trian x -o y",
        "earmark train x -o y --fast",
        "earmark train x",
        "earmark train x -o y --engine onnx",
        "python benchmarks/none.py",
        "pip install 'earmark[fast]'",
        "pip install '.[quick]'",
        "make none",
    ],
)
def test_a_wrong_command_is_noticed(text: str):
    with pytest.raises((AssertionError, typer.TyperException)):
        check(Command("page", text), is_partial=False)


@pytest.mark.parametrize("command", SHOWN, ids=ids(SHOWN))
def test_a_shown_command_parses(command: Command):
    check(command, is_partial=False)


@pytest.mark.parametrize("command", NAMED, ids=ids(NAMED))
def test_a_command_within_a_sentence_parses(command: Command):
    check(command, is_partial=True)


@pytest.mark.parametrize("command", SYNOPSES, ids=ids(SYNOPSES))
def test_a_synopsis_names_options_that_there_are(command: Command):
    parse(shlex.split(re.sub(r"\[[^\]]*\]", "", command.text)))
    resolved([*command.text.split()[:2], *re.findall(r"--[a-z-]+", command.text)])


SCRIPTS = sorted(
    f"{folder}/{path.name}"
    for folder in ("benchmarks", "examples")
    for path in (ROOT / folder).glob("*.py")
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_can_be_imported(script: str, monkeypatch):
    monkeypatch.syspath_prepend(str((ROOT / script).parent))
    spec = importlib.util.spec_from_file_location(f"script_{Path(script).stem}", ROOT / script)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:  # what only `make bench` installs
        pytest.skip(f"{error.name} is not installed")


# Running


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory) -> Path:
    """A folder like that of a reader: recordings, a classifier of them, and new recordings."""
    pytest.importorskip("pyopen_wakeword", reason="it carries the weights of speech-embedding")
    folder, rng = tmp_path_factory.mktemp("reader"), np.random.default_rng(0)
    t = np.arange(8_000) / 16_000
    for data, count in (("recordings", 6), ("sounds", 6), ("DATA", 6), ("new", 1), ("more", 1)):
        for label, hz in (("high", 1_800), ("middle", 700), ("low", 240)):
            place = folder / data / ("" if count == 1 else label)
            place.mkdir(parents=True, exist_ok=True)
            for k in range(count):
                x = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.02 * k) * t) + 0.01 * rng.normal(
                    size=8_000
                )
                soundfile.write(place / f"{label}{k}.wav", x, 16_000)
    for name in ("new.wav", "clip.wav"):
        shutil.copy(folder / "new" / "low0.wav", folder / name)
    (folder / "folder").mkdir()
    (folder / "src").symlink_to(ROOT / "src")
    model = ("-o", folder / "mine.earmark", "--backbone", "logmel", "--head", "prototype")
    earmark("train", "recordings", *model, "--no-compare", cwd=folder)
    shutil.copy(folder / "mine.earmark", folder / "MODEL")
    return folder


STAND_INS = {"DATA", "MODEL", "PATH...", "NEW.wav", "FOLDER"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """One store for all pages."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def small_hub() -> Iterator[str]:
    """Where pages publish classifiers."""
    with running_hub() as hub:
        yield hub.url


@pytest.mark.parametrize("page", [page for page in PAGES if "tutorials" not in page])
def test_the_commands_of_a_page_run(page: str, stand_ins, cache, small_hub, tmp_path, monkeypatch):
    """One after the other; one with a stand-in in capitals begins anew.

    Tutorials have a test of their own, with the Python between their commands.
    """
    commands = [c for c in SHOWN if c.page == page and not why_not_run(c)]
    monkeypatch.setenv("EARMARK_CACHE", str(cache))
    monkeypatch.setenv("EARMARK_WEIGHTS", "")
    if any(c.words[:2] == ["earmark", "push"] for c in commands):
        use_hub(monkeypatch, small_hub)
    here = shutil.copytree(stand_ins, tmp_path / "page", symlinks=True)
    for number, command in enumerate(commands):
        words = command.words[1:]
        at = here
        if STAND_INS & set(words):
            at = shutil.copytree(stand_ins, tmp_path / f"anew{number}", symlinks=True)
        arguments = [name for word in words for name in expanded(word, at)]
        with monkeypatch.context() as settings:
            for name, value in command.settings.items():
                settings.setenv(name, value)
            done = earmark(*arguments, cwd=at)
        if command.output:
            check_output(command, done.stdout + done.stderr)


def expanded(word: str, folder: Path) -> list[str]:
    """Return a word of a command as a shell gives it: a pattern becomes names."""
    if "*" not in word:
        return [word]
    return sorted(str(path.relative_to(folder)) for path in folder.glob(word))


def shapes(text: str) -> list[str]:
    """Return the beginning of each line, up to a column, with # for every number."""
    begins = [re.split(r" {2,}", line.strip())[0] for line in text.splitlines() if line.strip()]
    return [re.sub(r"\d[\d,.]*", "#", begin) for begin in begins]


def check_output(command: Command, text: str) -> None:
    """Check that every line of the page is printed."""
    printed = shapes(text)
    missing = set(shapes("\n".join(command.output))) - OPTIONAL_LINES - set(printed)
    assert not missing, f"{command} prints {printed}"


def test_output_that_is_not_printed_is_noticed():
    command = Command("page", "earmark train x -o y", ("3 clips, 1 class", "  verdict   use: 0.9"))
    check_output(command, "12 clips, 1 class\n  verdict   worthless: 0.1\n")
    with pytest.raises(AssertionError, match="verdict"):
        check_output(command, "12 clips, 1 class\n  accuracy  0.1\n")


# Python within sentences

OWNERS = {"earmark": library, "classifier": library.Classifier, "dataset": library.Dataset}
CALLS = sorted(
    {
        span
        for text in PAGES.values()
        for span in re.findall(
            r"(?<!`)`((?:earmark|classifier|dataset)\.[\w.]+\(.*?\))`(?!`)", text
        )
    }
)


@pytest.mark.filterwarnings("ignore:.*works until 0.3:DeprecationWarning")  # upgrade.md has such
@pytest.mark.parametrize("text", CALLS)
def test_a_call_within_a_sentence_has_arguments_that_there_are(text: str):
    call = ast.parse(text.replace("=)", "=None)"), mode="eval").body
    assert isinstance(call, ast.Call | ast.Attribute)
    for node in ast.walk(call):
        if not isinstance(node, ast.Call):
            continue
        owner, _, name = ast.unparse(node.func).partition(".")
        if owner in OWNERS and "(" not in name:
            parameters = inspect.signature(attrgetter(name)(OWNERS[owner])).parameters
            asked = {keyword.arg for keyword in node.keywords}
            assert asked <= set(parameters), f"{name} takes {list(parameters)}"
