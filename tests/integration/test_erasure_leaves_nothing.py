"""What was erased is in no file any more, and does not come back."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agent_session_core import (
    DataPart,
    Message,
    Origin,
    Retention,
    Session,
    SessionNotFound,
    SessionStore,
    TextPart,
    ToolCallPart,
)
from agent_session_core.sql.sqlite import PRAGMAS
from tests.integration import life_workers

AT_ONCE = Retention(archive_after=timedelta(0), delete_after=timedelta(0))


def _fill(session: Session, canary: str) -> None:
    """Put ``canary`` wherever a session can hold text, in every state that things can have."""
    session.update(title=f"title {canary}", metadata={canary: canary})
    session.append(
        Message.user(f"We say {canary}.", metadata={"m": canary}, author=canary, name=canary),
        Message.assistant(
            parts=(TextPart(canary), ToolCallPart("c", "tool", {"a": canary}), DataPart("d", canary)),
            origin=Origin("framework", "1", {"data": canary}),
        ),
        Message.tool(canary, "c"),
    )
    session.append(Message.user(f"taken back {canary}"))
    session.pop_turn()
    session.append(Message.user(f"set aside {canary}"))
    session.set_aside(first=1)
    session.state.update({"now": canary, canary: 1})
    session.state["now"] = "overwritten"
    session.state.update(delete=[canary])
    session.files.put(f"{canary}.txt", f"text of a file {canary} ".encode() * 100)
    session.files.put(f"{canary}.txt", b"another version")
    session.files.put("deleted.bin", canary.encode() * 50_000)
    session.files.delete("deleted.bin")
    session.tasks.add(canary, note=canary).update(note="no longer")
    with session.tool_call("tool", {"a": canary}, idempotency_key=canary) as call:
        call.succeed({"r": canary})
    with pytest.raises(ValueError, match=canary), session.tool_call("tool"):
        raise ValueError(canary)
    session.append(Message.user("before a rewind"))
    session.state["rewound"] = canary
    session.rewind(to=1)
    session.restart()
    session.append(Message.user(f"a second run {canary}"))


def _found(folder: Path, canary: str) -> dict[str, int]:
    """How often the canary stands in each file of the folder."""
    counts = {path.name: path.read_bytes().count(canary.encode()) for path in folder.iterdir() if path.is_file()}
    return {name: count for name, count in counts.items() if count}


def _sweep_away(store: SessionStore, session: Session) -> None:
    store.session("fork").delete()
    session.close()
    store.sweep()


ERASURES: dict[str, Callable[[SessionStore, Session], object]] = {
    "session": lambda store, session: session.delete(forks=True),
    "user": lambda store, session: store.erase(user_id="ana"),
    "tenant": lambda store, session: store.erase_tenant(),
    "sweep": _sweep_away,
}


@pytest.mark.parametrize("how", ERASURES)
def test_nothing_is_left(tmp_path: Path, how: str) -> None:
    """0 bytes of a random canary in the database, its log and its lock, where it stood in everything before."""
    canary = f"canary{uuid.uuid4().hex}"
    with SessionStore.open(f"sqlite:///{tmp_path}/s.db", retention=AT_ONCE) as store:
        session = store.session("trip", user_id="ana")
        store.session("other", user_id="ben").append(Message.user("nothing of it here"))
        _fill(session, canary)
        if how in ("user", "tenant"):
            session.state.user.update(canary=canary)
        session.fork("fork")
        assert store.search(canary, neighbours=2)
        session.append(Message.user(f"not yet indexed {canary}"))
        assert sum(_found(tmp_path, canary).values()) > 50
        ERASURES[how](store, session)
        assert _found(tmp_path, canary) == {}
        assert len(store.search(canary, mode="keyword", archived=True)) == 0
        assert store.verify().consistent
        store.repair()
        store.reindex()
        assert _found(tmp_path, canary) == {}
    assert _found(tmp_path, canary) == {}


async def test_a_receipt_is_complete_when_no_reader_holds_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as one does, and the text stands in the log, each asking says so; the first one afterwards empties it."""
    monkeypatch.setattr("agent_session_core.sql.sqlite.PRAGMAS", (*PRAGMAS, "PRAGMA busy_timeout=100"))
    canary = f"canary{uuid.uuid4().hex}"
    with SessionStore.open(f"sqlite:///{tmp_path}/s.db") as store, sqlite3.connect(tmp_path / "s.db") as reader:
        store.session("trip", user_id="ana").append(Message.user(canary))
        store.search("trip")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchall()
        receipt = store.erase(user_id="ana")
        assert not receipt.complete
        assert not store.receipt(receipt.id).complete
        assert not (await store.areceipt(receipt.id)).complete
        assert _found(tmp_path, canary)
        reader.rollback()
        assert (await store.areceipt(receipt.id)).complete
        assert _found(tmp_path, canary) == {}
        assert store.receipt(receipt.id).complete
    reader.close()


def test_late_writers_and_indexers_bring_nothing_back(tmp_path: Path) -> None:
    """Ten rounds of writers, searches and repairs at work while their session is deleted: nothing of it stays."""
    for number in range(10):
        canary = f"canary{uuid.uuid4().hex}"
        with (
            SessionStore.open(f"sqlite:///{tmp_path}/s.db") as store,
            SessionStore.open(f"sqlite:///{tmp_path}/s.db") as indexing,
        ):
            session = store.session("trip")
            begun = threading.Event()

            def write(session: Session = session, canary: str = canary, begun: threading.Event = begun) -> None:
                with pytest.raises(SessionNotFound):  # noqa: PT012  # whichever write comes first
                    while True:
                        session.append(Message.user(f"{canary} again"))
                        session.state[canary] = canary
                        session.files.put("a.txt", uuid.uuid4().bytes + canary.encode() * 60_000)
                        begun.set()

            def index(indexing: SessionStore = indexing, canary: str = canary, number: int = number) -> None:
                for _ in range(6):
                    indexing.search(canary)
                    if number % 2:
                        indexing.repair()

            threads = [threading.Thread(target=work) for work in (write, write, index)]
            for thread in threads:
                thread.start()
            begun.wait(30)
            session.delete()
            for thread in threads:
                thread.join()
            assert len(indexing.search(canary, mode="keyword")) == 0
            assert indexing.verify().consistent
            store.session("last").delete()  # a reader that was at work may have kept a part of the log
        assert _found(tmp_path, canary) == {}, number


def test_a_put_that_was_killed_goes_with_its_session(tmp_path: Path) -> None:
    """The bytes of a file that never became one are erased with the session they were put into."""
    url = f"sqlite:///{tmp_path}/s.db"
    with SessionStore.open(url, index="off") as store:
        session = store.session("shared")
        worker = subprocess.Popen([sys.executable, life_workers.__file__, "put_file", url, "1"], stdout=subprocess.PIPE)
        assert worker.stdout is not None
        for _ in range(8):
            assert worker.stdout.readline() == b"a piece\n"
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
        assert session.files.list() == []
        assert sum(_found(tmp_path, "canarycanary").values()) > 1_000
        session.delete()
        assert _found(tmp_path, "canarycanary") == {}
