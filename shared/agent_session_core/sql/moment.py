"""The database's own clock, as a default of columns: whole microseconds since 1970, UTC."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["this_moment"]


class this_moment(FunctionElement[int]):  # noqa: N801  # named as SQL functions are
    """This moment, to the millisecond at least."""

    type = BigInteger()
    name = "this_moment"
    inherit_cache = True


@compiles(this_moment, "sqlite")
def _of_sqlite(element: this_moment, compiler: Any, **options: Any) -> str:  # noqa: ARG001  # the compiler's signature
    return "(CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER))"


@compiles(this_moment, "postgresql")
def _of_postgresql(element: this_moment, compiler: Any, **options: Any) -> str:  # noqa: ARG001  # as above
    return "(CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT))"
