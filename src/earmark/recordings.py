"""Which files in a folder count as recordings, by their names alone."""

from pathlib import Path

# When a folder is walked, a name is passed over only if it cannot be meant as a recording; any
# other is taken, and its content decides. So an odd suffix is read or refused, never dropped.
# Archives are not listed: they may hold recordings that their owner thinks are in the data.
_TEXT = ".txt .md .rst .csv .tsv .json .jsonl .ndjson .xml .yaml .yml .toml .ini .cfg .log .bib"
_DOCUMENTS = ".html .htm .css .js .pdf .doc .docx .xls .xlsx .parquet .db .sqlite .lnk .url"
_PICTURES = ".jpg .jpeg .png .gif .bmp .svg .webp .tif .tiff .ico"
_CODE = ".py .pyc .ipynb .r .m .sh .bat .npy .npz .pt .pth .pkl .h5 .hdf5 .onnx .safetensors"
_NOTES = ".textgrid .lab .phn .wrd .srt .vtt .cue .eaf .jams .m3u .m3u8 .pls"  # on recordings
_EDITORS = ".asd .reapeaks .sfk .pkf .md5 .sha1 .sha256"  # made beside recordings
NOT_AUDIO_SUFFIXES = frozenset(
    " ".join((_TEXT, _DOCUMENTS, _PICTURES, _CODE, _NOTES, _EDITORS)).split()
)
NOT_AUDIO_NAMES = frozenset({"readme", "license", "licence", "copying", "authors", "makefile"})


def is_recording(path: Path) -> bool:
    """Say whether a file found in a folder counts as a recording, by its name alone.

    Hidden files (``.DS_Store``, ``._clip.wav``), ``NOT_AUDIO_SUFFIXES`` and ``NOT_AUDIO_NAMES``
    do not; everything else does, with any suffix or none.
    """
    name = path.name.lower()
    hidden = name.startswith(".")
    return not (hidden or path.suffix.lower() in NOT_AUDIO_SUFFIXES or name in NOT_AUDIO_NAMES)
