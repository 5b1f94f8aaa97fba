"""What docs/spark.md uses of Spark, with pyarrow in one process: a CSV, partitions, mapInArrow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

ROWS = 5  # in a batch


@dataclass
class Frame:
    table: pa.Table
    partitions: int = 1

    def select(self, *names: str) -> Frame:
        return Frame(self.table.select(list(names)))

    def repartition(self, count: int) -> Frame:
        return Frame(self.table, count)

    def mapInArrow(self, function: Callable[[Iterator[Any]], Iterator[Any]], schema: Any) -> Frame:  # noqa: N802
        size = -(-len(self.table) // self.partitions)
        parts = [self.table.slice(at, size) for at in range(0, len(self.table), size)]
        batches = [b for part in parts for b in function(iter(part.to_batches(ROWS)))]
        return Frame(pa.Table.from_batches(batches, schema))

    @property
    def write(self) -> Frame:
        return self

    def parquet(self, folder: str) -> None:
        Path(folder).mkdir()
        pq.write_table(self.table, f"{folder}/part-0.parquet")


class SparkSession:
    """Also its own builder and reader."""

    def appName(self, name: str) -> SparkSession:  # noqa: N802
        return self

    def getOrCreate(self) -> SparkSession:  # noqa: N802
        return self

    @property
    def read(self) -> SparkSession:
        return self

    def csv(self, path: str, header: bool) -> Frame:
        assert header
        return Frame(pyarrow.csv.read_csv(path))


SparkSession.builder = SparkSession()


def use_stub(monkeypatch: Any) -> None:
    """Let ``import pyspark`` find this for the rest of a test."""
    contents = {
        "pyspark": {},
        "pyspark.sql": {"SparkSession": SparkSession},
        "pyspark.sql.pandas": {},
        "pyspark.sql.pandas.types": {"from_arrow_schema": lambda schema: schema},
    }
    for name, names in contents.items():
        module = ModuleType(name)
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, name, module)
