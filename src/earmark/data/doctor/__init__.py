"""Find problems in a dataset before training.

``doctor`` examines the table of a dataset (``tables``), every recording (``facts``,
``recordings``), and which recordings have the same sound (``copies``, ``near_duplicates``).
docs/doctor.md lists the findings, their thresholds and how often they are right.
"""

from earmark.data.doctor.examination import check_table, doctor, examine, inspect
from earmark.data.doctor.findings import Finding, Item

__all__ = ["Finding", "Item", "check_table", "doctor", "examine", "inspect"]
