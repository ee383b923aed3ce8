"""What the documents show works as they show it."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import MutableMapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import langchain_core  # noqa: F401  # turns its warnings on where it is first imported: here, not in a test
import pytest
from typer.testing import CliRunner

from agent_session_core import (
    Explanation,
    Files,
    FileVersion,
    Retention,
    RunningToolCall,
    ScopedState,
    Session,
    SessionState,
    SessionStore,
    Sweeper,
    Task,
    Tasks,
    ToolCall,
)
from agent_session_core.cli.app import app
from agent_session_core.exchange import Problem, parse

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# (\w+\.py)\n")
_COMMAND = re.compile(r"^\$ session-core (.*)$", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)")


def _blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """The examples of a page in ``language``, each with the line before its first."""
    text = page.read_text(encoding="utf-8")
    blocks = [block for block in _BLOCK.finditer(text) if block.group(1) == language]
    return [(text.count("\n", 0, block.start(2)), block.group(2)) for block in blocks]


def _shown(page: Path) -> dict[int, str]:
    """What a page says its examples print: the block of text right behind one, by the line before the example."""
    both = re.compile(r"^```python\n(?:.*?)^```\n\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    text = page.read_text(encoding="utf-8")
    found = {}
    for block in _BLOCK.finditer(text):
        behind = both.match(text, block.start())
        if block.group(1) == "python" and behind is not None and text.count("```", *behind.span()) == 4:
            found[text.count("\n", 0, block.start(2))] = behind.group(1)
    return found


def _masked(text: str) -> str:
    """Without what differs from run to run and version to version: scores and times."""
    return re.sub(r"\b[01]\.\d\d\b", "(score)", re.sub(r"\w{3} \d{4}-\d\d-\d\d \d\d:\d\d [+-]\d{4}", "(time)", text))


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")  # many still use it, and so do we
@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page, "python")], ids=lambda page: page.stem)
def test_examples_print_what_is_shown(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reader can type the examples of a page one after another, in an empty folder, and sees what the page shows.

    One that begins with the name of a file is to be saved as that file. The commands of the page work afterwards.
    """
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "example"}
    shown = _shown(page)
    for line, code in _blocks(page, "python"):
        if file := _FILE.match(code):
            Path(file.group(1)).write_text(code, encoding="utf-8")
            continue
        # The empty lines put the line numbers of the page into tracebacks.
        exec(compile("\n" * line + code, str(page), "exec", dont_inherit=True), names)  # noqa: S102
        assert _masked(capsys.readouterr().out) == _masked(shown.get(line, "")), f"{page.name}, line {line + 1}"
    names["store"].close()
    monkeypatch.delenv("SESSION_CORE_DB", raising=False)
    for _, console in _blocks(page, "console"):
        for command in _COMMAND.findall(console):
            done = CliRunner().invoke(app, shlex.split(command))
            assert (done.exit_code, done.stderr) == (0, ""), f"{page.name}: {command}"
            assert done.stdout, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file of the project names one that is there."""
    missing = [link for link in _LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert missing == []


def test_the_export_that_is_shown_can_be_read() -> None:
    """The sample in the description of the format is of that format."""
    ((_, sample),) = _blocks(ROOT / "docs" / "export-format.md", "json")
    entries = list(parse(sample.splitlines()))
    assert len(entries) == 8
    assert not [entry for entry in entries if isinstance(entry, Problem)]


def _listed(page: str, heading: str) -> list[str]:
    """The names in the first column of the table below a heading."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    _, found, below = text.partition(f"# {heading}\n")
    assert found, f"{page} has no heading {heading}"
    section, *_ = re.split(r"^#", below, maxsplit=1, flags=re.MULTILINE)
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


@pytest.mark.parametrize(
    "name",
    [
        "agent_session_core",
        "agent_session_core.embedding",
        "agent_session_core.exchange",
        "agent_session_core.filters",
        "langchain_sessions",
        "llamaindex_sessions",
    ],
)
def test_the_reference_lists_every_public_name(name: str) -> None:
    """The table of a package has each name of its ``__all__`` once, and no other."""
    assert sorted(_listed("reference.md", name)) == sorted(import_module(name).__all__)


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        *((kind, object) for kind in (SessionStore, Session, Files, FileVersion, Tasks, Task, ToolCall, Retention)),
        *((kind, object) for kind in (RunningToolCall, Sweeper)),
        (ScopedState, MutableMapping),
        (SessionState, ScopedState),
    ],
)
def test_the_reference_lists_every_method(kind: type, base: type) -> None:
    """The table of a class has each public attribute once, without the async twins and what all of its kind have."""
    added = {name for one in kind.__mro__ if not issubclass(base, one) for name in vars(one)}
    shown = added | _set_in_init(kind)
    public = {name for name in shown if not name.startswith("_")}
    twins = {name for name in public if name.startswith("a") and hasattr(kind, name[1:])}
    assert sorted(_listed("reference.md", kind.__name__)) == sorted(public - twins)


def test_the_reference_lists_every_option_of_open() -> None:
    """The table has each parameter, in their order."""
    assert _listed("reference.md", "Options") == list(inspect.signature(SessionStore.open).parameters)


def test_the_reference_shows_how_methods_are_called() -> None:
    """Where a line shows a call, it has each parameter, and only what must be given without a name stands bare."""
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| `(\w+)` \| (`\1\(.*?\)`): ", text, re.MULTILINE))
    methods = {name: getattr(SessionStore, name, None) or getattr(Session, name) for name in shown}
    assert shown == {name: f"`{name}({_parameters(method)})`" for name, method in methods.items()}
    assert {"append", "messages", "remove", "set_aside", "rewind", "fork", "restart"} < shown.keys()
    assert {"search", "sessions", "turn", "tool_call"} < shown.keys()


def _parameters(method: Any) -> str:
    """The parameters as the reference writes them."""
    shown = []
    for parameter in list(inspect.signature(method).parameters.values())[1:]:
        bare = parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.default is parameter.empty
        starred = parameter.kind is parameter.VAR_POSITIONAL
        shown.append(f"*{parameter.name}" if starred else parameter.name if bare else f"{parameter.name}=")
    return ", ".join(shown)


def _set_in_init(kind: type) -> set[str]:
    """The attributes that a class without slots gives its objects."""
    if is_dataclass(kind) or "__slots__" in vars(kind):
        return set()
    return set(re.findall(r"self\.([a-z]\w*)(?:: [^=\n]+)? = ", inspect.getsource(kind)))


def test_the_guide_explains_every_part_of_an_explanation() -> None:
    """The table of an explanation's fields has each of them."""
    listed = _listed("guide.md", "Why was it found?")
    assert sorted(listed) == sorted(field.name for field in fields(Explanation))


def test_links_into_a_page_lead_to_a_heading() -> None:
    """A link to a place in a page names one of its headings."""
    for page in PAGES:
        for link, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
            target = page.parent / link if link else page
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in anchors, f"{page.name}: {link}#{anchor}"
