"""Files that a command writes: there as a whole in the end, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from agent_session_core.cli.mistakes import Mistake

__all__ = ["new_file"]


@contextmanager
def new_file(path: Path, *, force: bool, database: Path | None) -> Iterator[BinaryIO]:
    """A file to be written, which takes its place when the block ends well.

    Raises:
        Mistake: for a file that is there, without ``force``, a folder that is not, or a file of the ``database``.
    """
    if database is not None and path.resolve() in _files_of(database):
        raise Mistake(f"{path}: it belongs to the database that is read; name another file")
    if path.is_dir():
        raise Mistake(f"{path}: it is a directory; name a file")
    if path.exists() and not force:
        raise Mistake(f"{path}: it is there already; --force writes over it")
    if not path.parent.is_dir():
        raise Mistake(f"{path}: its folder is not there; make it, or name another")
    if path.exists() and not path.is_file():  # a pipe or a device: nothing to put in its place
        with path.open("wb") as file:
            yield file
        return
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _files_of(database: Path) -> set[Path]:
    """A database's file, and those that are kept beside it."""
    real = database.resolve()
    return {real, *(real.with_name(real.name + end) for end in ("-wal", "-shm", "-journal", "-lock"))}
