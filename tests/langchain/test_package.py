"""The package as a whole: its names, its cost to import, and what its serialised forms do not hold."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from langchain_core.load import dumps
from pydantic import ValidationError

import langchain_sessions
from agent_session_core import InvalidInput, SessionStore
from langchain_sessions import SessionChatMessageHistory, SessionRetriever, create_session_search_tool

SECRET = "hunter2"  # noqa: S105  # it is to be looked for
ALLOWED_MS = 60


def test_all_names_what_there_is() -> None:
    """``__all__`` is sorted, each name is there, documented and shown by dir(); no other name is public."""
    assert sorted(langchain_sessions.__all__) == langchain_sessions.__all__
    for name in langchain_sessions.__all__:
        assert inspect.getdoc(getattr(langchain_sessions, name))
        assert name in dir(langchain_sessions)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = langchain_sessions.nothing


def milliseconds(statement: str, *before: str) -> float:
    """The least time of several processes for a statement, with these modules imported before."""
    code = (
        f"import {', '.join(before)}, time; start = time.perf_counter();"
        f"{statement}; print((time.perf_counter() - start) * 1000)"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        for _ in range(3)
    ]
    return min(float(run.stdout) for run in runs)


def test_importing_costs_little() -> None:
    """The package itself, and the history on top of what it stands on, cost at most 60 ms to import."""
    frameworks = ("langchain_core.messages", "langchain_core.chat_history", "sqlalchemy")
    assert milliseconds("import langchain_sessions", *frameworks) < ALLOWED_MS
    history = "from langchain_sessions import SessionChatMessageHistory"
    assert milliseconds(history, *frameworks, "agent_session_core") < ALLOWED_MS


def test_importing_needs_no_search() -> None:
    """The history brings in neither the embedding's table nor the retriever, the tools or numpy."""
    code = (
        "import sys; from langchain_sessions import SessionChatMessageHistory;"
        "print([name for name in ('wordllama', 'alembic', 'elasticsearch', 'langchain_core.tools',"
        " 'langchain_core.retrievers', 'langchain_sessions._search_tool') if name in sys.modules])"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert run.stdout.strip() == "[]"


def test_serialised_forms_hold_no_store_and_no_secret(url: str) -> None:
    """Dumps and reprs of what was opened by a URL hold neither the URL nor anything of the connection."""
    secret_url = f"{url}?application={SECRET}" if "?" in url else url
    with SessionRetriever(url=secret_url, k=3) as retriever, SessionStore.open("sqlite://", index="off") as store:
        tool = create_session_search_tool(store, user_id="ana")
        history = SessionChatMessageHistory("a", store=store)
        factory = SessionChatMessageHistory.factory(store)
        forms = [
            json.dumps(retriever.model_dump(mode="json")),
            retriever.model_dump_json(),
            json.dumps(tool.model_dump()),
        ]
        forms += [repr(thing) for thing in (retriever, tool, history, factory)]
        forms += [str(retriever), str(tool), dumps(retriever), dumps(tool), dumps([history, factory])]
        for form in forms:
            assert "sqlite" not in form
            assert "SessionStore" not in form
        assert retriever.url is None


def test_errors_hold_no_url() -> None:
    """A retriever that cannot be made shows neither the URL nor the password in it."""
    url = f"postgresql+psycopg://ana:{SECRET}@nowhere.invalid/db"
    wrong: list[dict[str, Any]] = [{"k": 0}, {"k": 5, "store": 5}, {"mode": "psychic"}, {"unknown": 1}]
    for given in wrong:
        with pytest.raises(ValidationError) as caught:
            SessionRetriever(url=url, **given)
        assert SECRET not in str(caught.value)
    with pytest.raises(InvalidInput) as refused:
        create_session_search_tool(url=url, store=url)  # type: ignore[arg-type]  # as above
    assert SECRET not in str(refused.value)
