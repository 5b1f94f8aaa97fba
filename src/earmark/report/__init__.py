"""The report of a training or an evaluation: a folder of plain files, and one page for people."""

from earmark.report.contents import (
    ReportContents,
    contents_of_evaluation,
    contents_of_training,
)
from earmark.report.files import write_report
from earmark.report.rendering import page

# the names these had before
Evidence = ReportContents
evidence_of = contents_of_training
evidence_of_evaluation = contents_of_evaluation

__all__ = [
    "Evidence",
    "ReportContents",
    "contents_of_evaluation",
    "contents_of_training",
    "evidence_of",
    "evidence_of_evaluation",
    "page",
    "write_report",
]
