"""Files are written whole or not at all."""

import pytest

from earmark.errors import EarmarkError
from earmark.system.files import write_whole


def test_writing_leaves_the_old_file_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EarmarkError, match="cannot write .*: No space left on device. Free some"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(EarmarkError, match="cannot write .*name another place"):
        write_whole(tmp_path / "no" / "such" / "m", b"new")
