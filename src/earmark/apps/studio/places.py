"""Where things lie in a folder of the studio, by their names."""

from earmark.data.dataset import FOLDER_MANIFEST

MANIFEST = FOLDER_MANIFEST  # what every command reads
LEFT_OUT_FILE = "left-out.csv"
RECORDINGS = "recordings"  # what was recorded or dropped in the page; not a class
MODELS, REPORTS, DECISIONS, EXPORTS = "models", "reports", "decisions", "exports"
ARCHIVES = "archives"  # what is searched
WRITTEN = frozenset(
    {MODELS, REPORTS, DECISIONS, EXPORTS, ARCHIVES}
)  # by commands; no recordings are there
MODEL_SUFFIX = ".earmark"
PRIVATE = ".studio"  # history, trash, jobs, uploads: for the studio alone
