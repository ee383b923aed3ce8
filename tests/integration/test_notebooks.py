"""The notebooks run, offline, and show what running them shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def _outputs(notebook: Any) -> list[str]:
    """What each cell of code printed or gave, without scores and times."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [json.dumps([_shown(output) for output in cell.outputs]) for cell in cells]


def _shown(output: Any) -> str:
    text: str = output.get("text") or output.get("data", {}).get("text/plain", "")
    return re.sub(r"\w{3} \d{4}-\d\d-\d\d \d\d:\d\d [+-]\d{4}", "(time)", re.sub(r"\b[01]\.\d\d\b", "(score)", text))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_shows_what_running_it_shows(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell runs without a network, and its committed output is what it puts out now."""
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # whoever tries to reach out fails
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no types
    committed = _outputs(notebook)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert _outputs(notebook) == committed
    assert any(committed)


def test_both_frameworks_have_one() -> None:
    """There is a notebook for each framework, and one for work that is picked up again."""
    assert [path.stem for path in NOTEBOOKS] == ["langchain", "llamaindex", "resume"]
