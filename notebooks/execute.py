"""Runs the notebooks and keeps in them what they put out, without the times and versions of this machine."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient


def execute(path: Path) -> None:
    """Run the notebook at ``path`` and write it back with its outputs."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no types
    NotebookClient(notebook, timeout=120, record_timing=False).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]  # as above


if __name__ == "__main__":
    for found in sorted(Path(__file__).parent.glob("*.ipynb")):
        execute(found)
        print(f"{found.name} has its outputs")
