"""README and docs say what the code does."""

import csv
import importlib
import re
import shutil
import subprocess
import sys
from operator import attrgetter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

import command_line
import earmark
from earmark.backbones import engines, registry
from tones import tone_detector

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
UPGRADE = ROOT / "docs" / "upgrade.md"  # which has names of 0.1 on purpose
PAGES = sorted(p.stem for p in ROOT.glob("docs/*.md") if "```python\n" in p.read_text())
todays_names = pytest.mark.filterwarnings("error:.*works until 0.3:DeprecationWarning")


def test_the_python_example_runs(tones, tmp_path, monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.S)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EARMARK_WEIGHTS", "")
    tones.rename(tmp_path / "recordings")
    (tmp_path / "new.wav").write_bytes((tmp_path / "recordings" / "low" / "0.wav").read_bytes())
    shutil.copytree(tmp_path / "recordings" / "high", tmp_path / "more")
    exec(example, {})
    accuracy, one, first, *_, last = capsys.readouterr().out.splitlines()
    assert accuracy.startswith("1.0 (") and one == "low"
    assert first.startswith("new.wav low ") and last.startswith("more/5.wav high ")
    assert (tmp_path / "mine.earmark").exists()


def names_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w./-])earmark\.([A-Za-z_.]*[A-Za-z_])", text)) - {"json"}


@todays_names
def test_every_name_in_the_docs_is_there_after_import_earmark(monkeypatch):
    pages = {ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")} - {UPGRADE}
    text = "\n".join(page.read_text() for page in pages)
    for line in re.findall(r"^(?:from|import) earmark\b.*", text, re.M):
        exec(line, {})
    names = names_in(text) - {"csv"}  # earmark.csv is a file
    assert names > {"train", "doctor", "report.page"}
    for name in names:
        for other, module in list(vars(earmark).items()):
            if isinstance(module, ModuleType):  # there because someone else has imported it
                monkeypatch.delattr(earmark, other)
        attrgetter(name)(earmark)


@pytest.mark.filterwarnings("ignore:.*works until 0.3:DeprecationWarning")
def test_old_and_new_names_in_the_page_for_upgrading_are_there():
    names = names_in(UPGRADE.read_text())
    assert names > {"create", "load_backbone", "doctor.examine"}
    for name in names:
        attrgetter(name)(earmark)


def test_all_files_name_the_same_version():
    released = re.findall(r"^## \[(\d.*)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    citation = (ROOT / "CITATION.cff").read_text()
    (version,) = re.findall(r"^version: (\S+)$", citation, re.M)
    (date,) = re.findall(r'^date-released: "(\S+)"$', citation, re.M)
    assert released[0] == (version, date) and version == earmark.__version__


def commands() -> list[str]:
    listed = subprocess.run(
        [sys.executable, "-m", "earmark", "--help"], capture_output=True, text=True, check=True
    ).stdout
    return re.findall(r"^  ([a-z]+)  ", listed, re.M)


def test_every_command_is_in_the_readme():
    assert len(commands()) > 5
    missing = [name for name in commands() if f"`earmark {name}" not in README]
    assert not missing


def test_the_table_of_backbones_is_that_of_the_registry():
    """Else: python docs/generate.py"""
    sys.path.insert(0, str(ROOT / "docs"))
    import generate

    assert generate.PAGE.read_text() == generate.page()


@todays_names
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run(page, tones, tmp_path, monkeypatch):
    """One after the other, after ``import earmark``."""
    if page == "finetuning":
        pytest.importorskip("accelerate")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "cache"))
    tones.rename(tmp_path / "recordings")
    shutil.copy(tmp_path / "recordings" / "low" / "0.wav", tmp_path / "new.wav")
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(), re.S)
    assert examples
    names: dict[str, object] = {"earmark": earmark}
    if page == "scale":
        pytest.importorskip("pyarrow")
        command_line.earmark("embed", "recordings", "-o", "embeddings")
    if page in ("archive", "label"):
        pytest.importorskip("pyarrow")
        command_line.earmark("index", "recordings", "-o", "archive")
    if page == "spark":
        stub = pytest.importorskip("spark_stub", reason="it needs pyarrow")
        stub.use_stub(monkeypatch)
        paths = sorted(Path("recordings").rglob("*.wav"))
        rows = [f"{path.parent.name}/{path.name},{path.parent.name}" for path in paths]
        Path("recordings/meta.csv").write_text("\n".join(["path,label", *rows]))
    if page == "export":
        pytest.importorskip("onnxruntime")
        classifier = earmark.train("recordings", backbone="logmel", compare=False).classifier
        classifier.save("mine.earmark")
        detector = earmark.load(tone_detector(tmp_path / "tones"))
        hop = earmark.export(detector, "detector.onnx").description["block_samples"]
        names["blocks"] = np.zeros((20, hop), np.float32)
    exec("\n".join(examples), names)
    if page == "spark":
        table = importlib.import_module("pyarrow.parquet").read_table("embeddings")
        assert len(table) == 12 and table["error"].null_count == 12
        assert len(table["layer_embedding"][0]) == 192


@pytest.mark.slow
@todays_names
def test_the_tutorial_runs(tones, tmp_path, monkeypatch, capsys):
    """As it stands, with random weights for VGGish and a small random Wav2Vec2."""
    transformers = pytest.importorskip("transformers")
    small = transformers.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        conv_dim=(16,) * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    transformers.Wav2Vec2Model(small).save_pretrained(tmp_path / "small")
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "small")
    named = registry.entry(f"hf:{tmp_path / 'small'}")
    monkeypatch.setitem(registry._registry, "wav2vec2-base-960h", named)
    vggish = registry.entry("vggish")[1]
    monkeypatch.setattr(vggish, "load", vggish.random)
    monkeypatch.setattr(engines, "_installed", lambda: False)  # to record VGGish takes 3 s
    monkeypatch.chdir(tmp_path)
    tones.rename(tmp_path / "recordings")
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * 16_000)
    soundfile.write("clip.wav", noise, 16_000)
    page = (ROOT / "docs" / "tutorials" / "from-the-article.md").read_text()
    exec("\n".join(re.findall(r"```python\n(.*?)```", page, re.S)), {})
    told = capsys.readouterr().out
    assert "VGGish: (6, 128)" in told and "Wav2Vec2: (1, 16)" in told
    assert "frames: [249.0]" in told
    assert (tmp_path / "mine.earmark").exists()


def measured(name: str) -> list[dict[str, str]]:
    with (ROOT / "benchmarks" / "results" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_doctors_figures_are_those_measured():
    page = (ROOT / "docs" / "doctor.md").read_text()
    for row in measured("doctor_near") + measured("doctor_rain"):
        title = {"esc10": "ESC-10", "fsdd": "FSDD"}.get(row["data"], row["data"])
        if row["change"] == "all":
            assert f"| {title} | {row['planted']} | {row['found']} | 0 |" in page
        if row["change"] == "false pairs":
            assert row["found"] == "0"
    for row in measured("oddities"):
        keys = ("tried", "read", "refused", "crashed", "hung")
        assert f"| {' | '.join(f'{int(row[key]):,}' for key in keys)} |" in page
        assert row["raised"] == "0"
    for row in measured("doctor_speed"):
        assert re.search(rf"\b{int(row['median']):,}\b", page)


def test_the_figures_of_reviews_are_those_measured():
    page, rows = (ROOT / "docs" / "review.md").read_text(), measured("review")
    for what, digits in (("found", 2), ("cost", 3), ("dropped", 3)):
        for backbone in ("speech-embedding", "efficientat-mn04"):
            values = [
                float(row["value"])
                for row in rows
                if (row["what"], row["backbone"]) == (what, backbone) and row["case"] != "clean"
            ]
            assert values and f"| {np.mean(values) + 1e-9:.{digits}f}" in page
    for row in rows:
        if row["what"] == "known":
            assert f"{row['value']} (`{row['case']}`)" in page


def test_the_speeds_of_detection_are_those_measured():
    page = (ROOT / "docs" / "detection.md").read_text()
    for row in measured("detect_speed"):
        if row["hours"] == "1.0" and not row["kills"]:
            assert f"| {row['cpu_s']} s | {row['speed']} | {row['peak_mb']} MB |" in page
    for row in measured("stream_speed"):
        if row["hours"] == "0.033":
            delays = f"{row['delay_median_s']} s | {row['delay_most_s']} s"
            assert f"| {float(row['step_s']):g} s | {row['speed']} | {delays} |" in page


def test_the_figures_of_archives_are_those_measured():
    page = (ROOT / "docs" / "archive.md").read_text()
    for row in measured("archive_index"):
        figures = f"{row['cpu_s']} | {row['speed_per_core']} | {row['peak_mb']} MB |"
        assert f"| {row['hours']} | {int(row['windows']):,} | {figures}" in page
    for row in measured("archive_search"):
        assert f"| {float(row['cpu_s']):.2f} | {float(row['seconds']):.2f} |" in page
        assert row["recall_at_50"] == "1.0"
    for row in measured("archive_workers"):
        figures = f"{row['cpu_s']} | {row['of_plain']} | {row['seconds']} | {row['own_cpu_s']} |"
        assert f"| {row['hours']} | {int(row['workers']) or 'none'} | {figures}" in page
        assert row["same_bytes"] == "True"
    (chosen,) = (
        row
        for row in measured("archive_layers")
        if (row["layers"], row["comparison"]) == ("middle and last", "standardised, a cosine each")
    )
    for name in ("fsdd", "esc10"):
        assert f"{float(chosen[name]):.0%}".replace("%", " %") in page


def test_the_figures_of_exported_classifiers_are_those_measured():
    guides, rows = ROOT / "docs" / "how-to", measured("onnx_web")
    page = (guides / "run-in-a-browser.md").read_text()
    speeds = [float(row["ms_per_second"]) for row in rows]
    assert f"takes {min(speeds)} to {max(speeds)} ms on one thread" in page
    largest = max((row["largest_difference"] for row in rows), key=float)
    assert float(largest) <= 1e-6 and f"by {largest} at most" in page
    for row in rows:
        assert f"{row['decoder_error_db'].partition(' ')[0]} dB" in page
    for listened in rows[-1]["heard"].split(" | "):
        digits = listened.split()
        assert 7 <= len(digits) <= 9 and digits == sorted(set(digits))
    page = (guides / "run-on-a-raspberry-pi.md").read_text()
    for row in measured("onnx_start")[2:]:
        assert f"| {row['cpu_s_median']} s | {row['peak_mb']} MB |" in page
    page = (ROOT / "docs" / "export.md").read_text()
    for row in measured("onnx_speed"):
        assert f"| {row['predict_ms']} ms | {row['graph_ms']} ms | {row['ratio']} |" in page
    rows = [row for row in measured("onnx_scores") if row["weights"] == "float32"]
    for backbone in {row["backbone"] for row in rows}:
        own = [row for row in rows if row["backbone"] == backbone]
        median, largest = (max((r[key] for r in own), key=float) for key in ("median", "max"))
        beyond = sum(int(row["beyond_5e-5"]) for row in own)
        assert f"| `{backbone}` |" in page and f"| {median} | {largest} | {beyond} |" in page
    beyond, clips = (sum(int(row[key]) for row in rows) for key in ("beyond_5e-5", "clips"))
    assert f"{beyond} of {clips:,}" in page


def test_the_figures_of_the_service_are_those_measured():
    page = (ROOT / "docs" / "serve.md").read_text()
    by_cpu = {(row["server"], row["kind"]): row["per_cpu_s"] for row in measured("serve_capacity")}
    for (server, kind), found in by_cpu.items():
        if "unpinned" not in server:
            lines = [one for one in page.splitlines() if server in one.replace("`", "")]
            assert any(f"| {found} |" in one for one in lines), (server, kind)
    for row in measured("serve_overload"):
        p99_s = f"{float(row['p99_ms']) / 1000:.2f} s"
        health = f"`/healthz` p99 {row['health_p99_ms']} ms"
        assert f"| {row['percent_of_peak']} %, {p99_s}, {row['mb_more']} MB; {health} |" in page
    (slow,) = (row for row in measured("serve_slow") if row["slow_sockets"] == "500")
    assert f"| {slow['percent_of_goodput']} % |" in page
    (attacked,) = (row for row in measured("serve_attacks") if row["attacks"] != "0")
    assert f"| {attacked['percent_of_goodput']} % of the answers; all attacks refused |" in page
    assert attacked["attacks"] == attacked["refused_rightly"]
    assert f"{len(measured('serve_attackers'))} attacks all the time" in page
    (end,) = measured("serve_soak_end")
    assert f"memory {end['pss_mb_change_percent']} % more" in page
    assert f"{int(end['wrong'].split()[-1]):,} answers, {end['hups']} HUPs" in page
    assert (end["files_change_percent"], end["threads_change_percent"]) == ("0.0", "0.0")
    for what in ("reload", "term", "soak_end"):
        assert {row["lost"] for row in measured(f"serve_{what}")} == {"0"}


@pytest.mark.parametrize(
    "page",
    [p.relative_to(ROOT) for p in ROOT.glob("**/*.md") if not {".venv", "build"} & {*p.parts}],
    ids=str,
)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^):]+)\)", (ROOT / page).read_text()):
        name, _, anchor = target.partition("#")
        linked = (ROOT / page).parent / name if name else ROOT / page
        assert linked.exists(), target
        if anchor and linked.name != "command-line.md":  # `make docs` writes its headings
            assert anchor in anchors(linked.read_text()), target


def anchors(text: str) -> set[str]:
    """Return the names that GitHub gives to the headings of a page."""
    without_code = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", without_code, re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_coverage_of_density_is_that_measured():
    page, rows = (ROOT / "docs" / "label.md").read_text(), measured("density")
    for prevalence in dict.fromkeys(row["prevalence"] for row in rows):
        own = [row for row in rows if row["prevalence"] == prevalence]
        assert [row["separation"] for row in own] == ["1.0", "2.0", "3.5"]
        columns = (
            ("covered", 100),
            ("width", 1),
            ("events_covered", 100),
            ("begins_covered", 100),
            ("beta_covered", 100),
        )
        cells = [
            ", ".join(f"{scale * float(row[name]):.1f} %" for row in own) for name, scale in columns
        ]
        assert f"| {100 * float(prevalence):g} % | {' | '.join(cells)} |" in page
    assert min(float(row[name]) for row in rows for name in ("covered", "begins_covered")) >= 0.9
    assert len(rows) == 21
    rough = [row for row in rows if float(row["events_covered"]) < 0.9]
    assert all(float(row["rough"]) >= 0.97 for row in rough)
