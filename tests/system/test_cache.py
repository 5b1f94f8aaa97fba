"""The cache: clearing it takes what is earmark's and nothing else."""

from earmark.system.cache import delete_rest


def test_clearing_the_cache_keeps_what_is_not_earmarks(tmp_path, monkeypatch):
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path))
    kept = [tmp_path / "engines" / "steam.txt", tmp_path / "finetuning" / "notes" / "mine.txt"]
    gone = [
        tmp_path / "engines" / "a.openvino",
        tmp_path / "engines" / "a.choice.json",
        tmp_path / "finetuning" / ("ab" * 12) / "x",
    ]
    for path in (*kept, *gone):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    delete_rest()
    assert all(path.exists() for path in kept) and not any(path.exists() for path in gone)
