"""What the documents show works as they show it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import langchain_core  # noqa: F401  # turns its warnings on where it is first imported: here, not in a test
import pytest

from agent_session_core.exchange import Problem, parse

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)")


def _blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """The examples of a page in ``language``, each with the line before its first."""
    text = page.read_text(encoding="utf-8")
    blocks = [block for block in _BLOCK.finditer(text) if block.group(1) == language]
    return [(text.count("\n", 0, block.start(2)), block.group(2)) for block in blocks]


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")  # many still use it, and so do we
@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page, "python")], ids=lambda page: page.stem)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader can type the examples of a page one after another, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "example"}
    for line, code in _blocks(page, "python"):
        # The empty lines put the line numbers of the page into tracebacks.
        exec(compile("\n" * line + code, str(page), "exec", dont_inherit=True), names)  # noqa: S102
    store = names.get("store")
    if store is not None:
        store.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file of the project names one that is there."""
    missing = [link for link in _LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert missing == []


def test_the_export_that_is_shown_can_be_read() -> None:
    """The sample in the description of the format is of that format."""
    ((_, sample),) = _blocks(ROOT / "docs" / "export-format.md", "json")
    entries = list(parse(sample.splitlines()))
    assert len(entries) == 3
    assert not [entry for entry in entries if isinstance(entry, Problem)]
