"""The report of a training or an evaluation: a folder with tables and one HTML page."""

from earmark.report.contents import (
    ReportContents,
    SeveralClasses,
    contents_of_evaluation,
    contents_of_training,
)
from earmark.report.files import write_report
from earmark.report.rendering import page
from earmark.system.lazy import hand_on

__all__ = [
    "ReportContents",
    "SeveralClasses",
    "contents_of_evaluation",
    "contents_of_training",
    "page",
    "write_report",
]
__getattr__ = hand_on(__name__, {})
