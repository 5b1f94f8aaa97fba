"""Clips with labels: folders, tables, annotations, known data sets, folds. Imports no torch."""

from earmark.data.clip import Clip
from earmark.data.dataset import Dataset, example
from earmark.data.folders import paths
from earmark.data.splits import Scheme, make_scheme

__all__ = ["Clip", "Dataset", "Scheme", "example", "make_scheme", "paths"]
