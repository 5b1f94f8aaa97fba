"""What is wrong with a dataset, found before any training.

``doctor`` reads and examines a dataset: its table (``tables``), every recording, decoded once
(``facts``, ``recordings``), and which of them hold the same sound (``copies``,
``near_duplicates``). docs/doctor.md lists the findings, their thresholds and how often they are
right.
"""

from earmark.data.doctor.examination import check_table, doctor, examine, inspect
from earmark.data.doctor.findings import Finding, Item

__all__ = ["Finding", "Item", "check_table", "doctor", "examine", "inspect"]
