"""A run's queries as a table in a file."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError
from zo_dno.results.front import rewards_of
from zo_dno.storage.atomic import write_whole
from zo_dno.storage.csv_cells import plain_cell
from zo_dno.storage.ledger import COLUMNS, Ledger, QueryRow
from zo_dno.storage.run_folder import LEDGER, check_is_run

ENDINGS = (".parquet", ".csv")


def export(folder: Path, out: Path) -> int:
    """Write every query of a run to `out`, a row each; returns how many.

    The columns are the ledger's, and for a front one for each reward, `reward: NAME`.

    Raises:
        InputError: The folder holds no run, or `out` is neither .parquet nor .csv.
        StorageError: `out` cannot be written.
    """
    if out.suffix not in ENDINGS:
        raise InputError(f"out must end in {' or '.join(ENDINGS)}; got {out}.")
    check_is_run(folder)
    ledger = Ledger(folder / LEDGER, read_only=True)
    rows, config = ledger.all_queries(), ledger.get("config") or {}
    ledger.close()
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    schema = pyarrow.schema([(COLUMNS.get(field.name, field.name), _type(field.type)) for field in fields(QueryRow)])
    columns = {
        COLUMNS.get(field.name, field.name): [getattr(row, field.name) for row in rows] for field in fields(QueryRow)
    }
    columns[COLUMNS["components"]] = [
        None if row.components is None else json.dumps(row.components, ensure_ascii=False) for row in rows
    ]
    for name in rewards_of(config):
        columns[f"reward: {name}"] = [(row.components or {}).get(name) for row in rows]
    if out.suffix == ".csv":
        columns = {name: [plain_cell(cell) for cell in cells] for name, cells in columns.items()}
    for name in list(columns)[len(schema) :]:
        schema = schema.append(pyarrow.field(name, pyarrow.float64()))
    table = pyarrow.table(columns, schema=schema)
    write = pyarrow.parquet.write_table if out.suffix == ".parquet" else pyarrow.csv.write_csv
    write_whole(out, lambda unfinished: write(table, unfinished))
    return len(rows)


def _type(annotation: Any) -> Any:
    import pyarrow

    kinds = {int: "int64", float: "float64", bool: "bool"}
    for kind, name in kinds.items():
        if annotation in (kind, kind | None):
            return getattr(pyarrow, {"bool": "bool_"}.get(name, name))()
    return pyarrow.string()
