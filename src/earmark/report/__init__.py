"""The report of a training or an evaluation: a folder with tables and one HTML page."""

from earmark.report.contents import (
    ReportContents,
    SeveralClasses,
    contents_of_evaluation,
    contents_of_training,
)
from earmark.report.event_contents import (
    EventContents,
    contents_of_detector,
    contents_of_event_evaluation,
)
from earmark.report.files import write_event_report, write_report
from earmark.report.rendering import event_page, page
from earmark.system.lazy import hand_on

__all__ = [
    "EventContents",
    "ReportContents",
    "SeveralClasses",
    "contents_of_detector",
    "contents_of_evaluation",
    "contents_of_event_evaluation",
    "contents_of_training",
    "event_page",
    "page",
    "write_event_report",
    "write_report",
]
__getattr__ = hand_on(__name__, {})
