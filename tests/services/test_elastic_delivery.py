"""From the outbox to Elasticsearch: nothing is lost, nothing stale comes back, and what cannot be written is told."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from sqlalchemy import func, select, update
from typer.testing import CliRunner

from agent_session_core import IndexUnavailable, Message, SessionStore, StorageUnavailable
from agent_session_core.cli.app import app
from agent_session_core.content import to_microseconds
from agent_session_core.search.elastic import bulk, delivering, documents, outbox
from agent_session_core.search.elastic.delivering import Only
from agent_session_core.search.elastic.upkeep import purge
from agent_session_core.search.entries import Source, embedded_texts
from agent_session_core.search.vectors import unit, unpack
from agent_session_core.sql.tables import elastic_sessions
from agent_session_core.sql.tables import outbox as outbox_table
from tests.services.conftest import Open, index_of
from tests.services.proxy import closed_address

WORDS = ["apple", "pear", "plum", "river", "hotel", "train", "night", "ticket", "rain", "budget", "dog", "cat"]
BY_HAND = {"follow": False}


def waiting(store: SessionStore) -> int:
    """Changes in the outbox."""
    return int(
        store._database.read(lambda conn: conn.execute(select(func.count()).select_from(outbox_table)).scalar_one())
    )


def held(store: SessionStore, client: Elasticsearch) -> dict[str, dict[str, Any]]:
    """What the index holds: documents by id, tombstones left out."""
    indexes = index_of(store)._indexes
    (current,) = store._database.read(outbox.indexes)
    client.indices.refresh(index=indexes.target(current.generation))
    hits = client.search(index=indexes.target(current.generation), size=5_000)["hits"]["hits"]
    return {hit["_id"]: hit["_source"] for hit in hits if "tenant" in hit["_source"]}


def said(store: SessionStore, client: Elasticsearch, words: Sequence[str]) -> list[str]:
    """Those of the words that some document holds."""
    (current,) = store._database.read(outbox.indexes)
    target = index_of(store)._indexes.target(current.generation)
    client.indices.refresh(index=target)
    return [word for word in words if client.count(index=target, query={"match": {"body": word}})["count"]]


def texts(store: SessionStore, query: str, **options: Any) -> list[str]:
    """What a search finds, after all that was stored."""
    return [hit.message.text for hit in store.search(query, wait=True, **options)]


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def expire(store: SessionStore) -> None:
    """Let the leases of all workers end."""
    ended = update(outbox_table).where(outbox_table.c.leased_by.is_not(None)).values(leased_until=1)
    store._database.write(lambda conn: conn.execute(ended))


def sentence(chance: random.Random) -> str:
    """A few random words."""
    return " ".join(chance.choices(WORDS, k=chance.randint(1, 8)))


def change(store: SessionStore, chance: random.Random) -> None:
    """Do one of the things that happen to sessions."""
    session = store.session(f"s{chance.randrange(4)}")
    if session.status == "archived":
        session.restore()
    what = chance.random()
    if what < 0.55:
        session.append([Message.user(sentence(chance), author="ana") for _ in range(chance.randint(1, 5))])
    elif what < 0.65:
        session.pop_turn()
    elif what < 0.75 and session.count():
        session.remove(index=chance.randrange(session.count()))
    elif what < 0.8:
        session.replace([*session.messages()[: chance.randint(0, 3)], Message.user(sentence(chance))])
    elif what < 0.85:
        session.append(Message.user("long " + sentence(chance) * 60))
    elif what < 0.9:
        session.close()
        session.archive()
    elif what < 0.93:
        session.delete()
    else:
        index_of(store).drain("default")


@pytest.mark.parametrize("seed", range(2))
def test_following_equals_the_store(open_own: Open, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After any changes, in small batches, the index equals the store, and so do the sums of vectors."""
    monkeypatch.setattr(delivering, "BATCH", 3)
    store = open_own(settings=BY_HAND)
    chance = random.Random(seed)
    for _ in range(40):
        change(store, chance)
    index_of(store).drain("default")
    assert store.verify().consistent
    assert waiting(store) == 0
    live = [m for s in store.sessions() for m in s.messages(archived=None)]
    sums = store._database.read(lambda conn: conn.execute(select(func.sum(elastic_sessions.c.vectors))).scalar())
    assert (sums or 0) == len(live)
    found = store.search("apple train", limit=500, archived=True, wait=True)
    assert {hit.message.id for hit in found} <= {message.id for message in live}


def test_the_mean_is_that_of_the_messages(open_own: Open) -> None:
    """The mean vector of a scope is the mean of its messages' vectors, whatever was taken back or delivered twice."""
    store = open_own(settings=BY_HAND)
    for name in ("a", "b"):
        store.session(name, user_id="ana").append([Message.user(f"{word} {name}") for word in WORDS])
    index = index_of(store)
    index.drain("default")
    store.session("a", user_id="ana").pop_turn()
    index._database.write(partial(outbox.announce, tenant="default", session=2, spans=[(1, 12)]))
    index.drain("default")
    (current,) = store._database.read(outbox.indexes)
    read = partial(index._profiles.of, generation=current.generation, tenant="default", user_id="ana")
    mean = store._database.read(read).mean
    kept = [message for name in ("a", "b") for message in store.session(name, user_id="ana").messages()]
    assert len(kept) == 23
    sources = [
        Source(m.seq or 0, 1, 0, m.role, m.name, m.author, to_microseconds(m.created_at), 0, m.text)
        for m in kept
        if m.created_at is not None
    ]
    blobs = [blob for blob in index._maker.make("default", embedded_texts(sources)).vectors if blob is not None]
    wanted = unit(unpack(blobs, len(blobs[0]) - 4)).mean(axis=0)
    assert mean == pytest.approx(wanted, abs=1e-5)


def test_the_process_follows_by_itself(open_own: Open) -> None:
    """What is written is found soon, without anybody's asking; a store that is opened again goes on."""
    store = open_own()
    store.session("s").append(Message.user("The submarine surfaced."))
    until(lambda: len(store.search("submarine")) == 1)
    store.session("s").append(Message.user("A second submarine."))
    until(lambda: len(store.search("submarine")) == 2)


def test_a_forked_process_follows_its_own_writes(open_own: Open) -> None:
    """A store that is used after a fork works in both processes."""
    store = open_own()
    store.session("s").append(Message.user("from the parent: apple"))
    until(lambda: waiting(store) == 0)
    child = multiprocessing.get_context("fork").Process(target=_in_a_fork, args=(store,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    store.session("s").append(Message.user("from the parent again: apple"))
    until(lambda: len(store.search("apple")) == 3)


def _in_a_fork(store: SessionStore) -> None:
    store.session("s").append(Message.user("from the child: apple"))
    until(lambda: len(store.search("apple")) >= 2)


def test_a_late_delivery_changes_nothing(
    open_own: Open, client: Elasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that stood still while others went on overwrites nothing newer, and brings nothing back."""
    store = open_own(settings=BY_HAND)
    session, gone = store.session("s"), store.session("gone")
    session.append(Message.user("apple one"), Message.user("apple two"))
    gone.append(Message.user("apple three"))
    reached, go_on = threading.Event(), threading.Event()
    send = bulk.send

    def stopped(client: Any, target: str, operations: Any, **options: Any) -> Any:
        if threading.current_thread().name == "late":
            operations = list(operations)  # made of what was there then
            reached.set()
            assert go_on.wait(30)
            options.pop("before_each", None)  # too late to look at the lease
        return send(client, target, operations, **options)

    monkeypatch.setattr(bulk, "send", stopped)
    late = threading.Thread(target=lambda: index_of(store).drain("default"), name="late")
    late.start()
    assert reached.wait(30)
    assert index_of(store).drain("default") == 0  # it has the sessions to itself
    expire(store)
    session.pop_turn()
    gone.delete()
    session.append(Message.user("apple four"))
    assert set(texts(store, "apple")) == {"apple one", "apple four"}
    go_on.set()
    late.join()
    monkeypatch.undo()
    assert set(texts(store, "apple")) == {"apple one", "apple four"}
    words = ("one", "two", "three", "four")
    assert set(said(store, client, words)) - {"three"} == {"one", "four"}
    index_of(store).repair("default")
    assert store.verify().consistent
    assert said(store, client, words) == ["one", "four"]


def test_several_workers_share_the_work(open_own: Open) -> None:
    """Workers of several stores at once leave nothing over and do nothing twice."""
    stores = [open_own(settings=BY_HAND) for _ in range(3)]
    for number in range(60):
        stores[0].session(f"s{number}").append([Message.user(f"apple {number} {word}") for word in WORDS])
    looked_at: list[int] = []

    def work(store: SessionStore) -> None:
        looked_at.append(index_of(store).drain("default"))

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(looked_at) == 60 * 12
    assert stores[0].verify().consistent


def test_a_poison_document_is_set_aside(open_own: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server refuses for good is set aside with the reason; the others are found, and repair tries again."""
    store = open_own(settings=BY_HAND)
    store.session("s").append([Message.user(f"apple {number}") for number in range(100)])
    written = documents.written

    def poisoned(document: dict[str, Any], vector: Any, *, embedded: bool) -> bytes:
        return written(document | ({"no such field": 1} if document["seq"] == 50 else {}), vector, embedded=embedded)

    monkeypatch.setattr(delivering, "written", poisoned)
    index_of(store).drain("default")
    assert len(texts(store, "apple", limit=200)) == 99
    report = store.verify()
    assert (report.rejected, report.missing, report.pending) == (1, 0, 0)
    error = store._database.read(lambda conn: conn.execute(select(outbox_table.c.error)).scalar_one())
    assert "strict_dynamic_mapping_exception" in error
    assert "apple" not in error
    monkeypatch.undo()
    assert store.repair().consistent
    assert len(texts(store, "apple", limit=200)) == 100


def test_erasing_leaves_no_document(open_own: Open, client: Elasticsearch) -> None:
    """A session that is deleted is gone from the index when the receipt says so, tombstones hold none of it."""
    store = open_own(settings=BY_HAND)
    canary = uuid.uuid4().hex
    store.session("s", user_id=canary).append(
        Message.user(f"{canary} " * 200, author=canary, metadata={canary: canary})
    )
    store.session("kept").append(Message.user("a pear"))
    index_of(store).drain("default")
    assert len(held(store, client)) > 5
    assert store.session("s").delete().complete
    assert len(held(store, client)) == 1
    assert said(store, client, ["pear", canary]) == ["pear"]
    index_of(store).purge()
    (current,) = store._database.read(outbox.indexes)
    everything = client.search(index=index_of(store)._indexes.target(current.generation), size=1_000)
    assert canary not in json.dumps(everything.body)
    index = index_of(store)
    assert purge(index._database, index._server, index._indexes, index._deliverer, older=-60) > 5
    assert client.count(index=index._indexes.target(current.generation))["count"] == 1


def test_a_killed_worker_loses_nothing(open_own: Open, tmp_path: Path, server: str) -> None:
    """Workers killed at any moment leave the index as the store is, once another has gone on."""
    store = open_own(settings=BY_HAND)
    chance = random.Random(7)
    for number in range(30):
        store.session(f"s{number % 7}").append([Message.user(sentence(chance)) for _ in range(60)])
    for _ in range(4):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, f"sqlite:///{tmp_path / 'sessions.db'}", server], stdout=subprocess.PIPE
        )
        assert worker.stdout is not None
        worker.stdout.readline()  # it has begun
        time.sleep(chance.random() * 0.6)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
        change(store, chance)
    expire(store)
    index_of(store).drain("default")
    assert waiting(store) == 0
    assert store.verify().consistent


WORKER = """
import sys
from agent_session_core import ElasticsearchIndex, SessionStore
from agent_session_core.search.elastic import delivering
delivering.BATCH = 40
index = ElasticsearchIndex(sys.argv[2], follow=False)
store = SessionStore.open(sys.argv[1], index=index)
print("begun", flush=True)
store.index_worker().catch_up()
"""


def test_the_worker_command(open_own: Open, tmp_path: Path, server: str) -> None:
    """``session-core index --follow`` fills the index, follows, tells how it stands, and ends cleanly on SIGTERM."""
    store = open_own(settings=BY_HAND)
    store.session("s").append([Message.user(f"apple {number}") for number in range(30)])
    command = [sys.executable, "-m", "agent_session_core.cli", "index", "--follow", "--json", "--every", "0.2"]
    command += ["--db", f"sqlite:///{tmp_path / 'sessions.db'}", "--index", server]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    assert worker.stdout is not None
    until(lambda: len(store.search("apple", limit=100)) == 30, 60)
    store.session("s").append(Message.user("an apple more"))
    until(lambda: len(store.search("apple", limit=100)) == 31, 60)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    told = [json.loads(line) for line in worker.stdout]
    worker.stdout.close()
    assert told[-1]["delivered"] >= 31
    assert told[-1]["pending"] == 0
    assert told[-1]["error"] is None
    assert told[-1]["lag"] == 0


def test_the_verify_command(open_own: Open, tmp_path: Path, server: str) -> None:
    """``session-core verify`` says that changes wait for a worker: no search brings them in."""
    command = ["verify", "--db", f"sqlite:///{tmp_path / 'sessions.db'}", "--index", server]
    store = open_own(settings=BY_HAND)
    store.session("s").append(Message.user("apple"))
    assert len(store.search("apple", wait=True)) == 1
    assert "exactly what is stored" in CliRunner().invoke(app, command).stdout
    for name, waits in (("s", "1 change waits for a worker."), ("t", "2 changes wait for a worker.")):
        store.session(name).append(Message.user("pear"))
        told = CliRunner().invoke(app, command)
        assert told.exit_code == 0
        assert f"as it should be; {waits}" in told.stdout


def test_waiting_while_another_one_begins_the_index(open_own: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first search waits for what another process announces for the new index, and is just delivering."""
    store, other = open_own(settings=BY_HAND | {"timeout": 2.0}), open_own(settings=BY_HAND)
    store.session("s").append(Message.user("apple"))
    deliver = index_of(store)._deliverer.deliver

    def deliver_late(*arguments: Any, **options: Any) -> int:
        monkeypatch.undo()
        index_of(other)._indexes.make()
        later = time.time_ns() // 1_000 + 600_000_000
        (current,) = other._database.read(outbox.indexes)
        claim = partial(outbox.claim, worker="other", fits=[current.generation], now=1, until=later, room=9)
        assert len(other._database.write(claim)) == 1
        return deliver(*arguments, **options)

    monkeypatch.setattr(index_of(store)._deliverer, "deliver", deliver_late)
    with pytest.raises(IndexUnavailable, match="not indexed within 2 s"):
        store.search("apple", wait=True)
    expire(store)
    assert len(store.search("apple", wait=True)) == 1


def test_what_could_not_be_let_go_of_is_later(open_own: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where server and database are away together, the changes wait for both, and not for the end of a lease."""
    store = open_own(settings=BY_HAND)
    store.session("s").append(Message.user("apple"))
    index = index_of(store)

    def away(*_: object, **__: object) -> None:
        raise StorageUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(bulk, "send", away)
        patch.setattr(outbox, "release", away)
        with pytest.raises(StorageUnavailable):
            index.drain("default")
    assert index.drain("default") == 1
    assert waiting(store) == 0


def test_a_server_that_is_not_there_keeps_nobody_from_their_changes(server: str, open_own: Open) -> None:
    """A process with a wrong address lets go of what it took, at once and when it is closed."""
    wrong = open_own(closed_address(), settings={"timeout": 1.0})
    wrong.session("s").append(Message.user("apple"))
    right = open_own(server, settings=BY_HAND)
    until(lambda: index_of(wrong)._follower.last_error is not None)
    assert texts(right, "apple") == ["apple"]
    right.session("s").append(Message.user("apple pie"))
    wrong.session("t").append(Message.user("apple tree"))
    wrong.close()
    assert len(texts(right, "apple")) == 3


def test_an_index_that_is_being_filled_says_so(open_own: Open) -> None:
    """Until what was there before has come, answers are marked; then they are not."""
    store = open_own(settings=BY_HAND)
    for user in ("ana", "ben"):
        store.session(f"of {user}", user_id=user).append(Message.user(f"an apple for {user}"))
    index_of(store)._indexes.make()
    index_of(store)._deliverer.deliver(Only("default", "ben"))
    assert "being filled" in (store.search("apple", user_id="ana").degraded or "")
    assert "being filled" in (store.search("apple").degraded or "")
    assert store.search("apple", user_id="ben").degraded is None
    found = store.search("apple", wait=True)
    assert len(found) == 2
    assert found.degraded is None
    store.session("of ana", user_id="ana").append(Message.user("an apple more"))
    assert store.search("apple", user_id="ana").degraded is None


def test_an_erasure_that_is_refused_is_not_complete(open_own: Open, client: Elasticsearch) -> None:
    """Nor is a message set aside that is refused for what the index is; when it takes both, both come to it."""
    store = open_own(settings=BY_HAND)
    store.session("s").append([Message.user(f"apple {number}") for number in range(5)])
    index = index_of(store)
    index.drain("default")
    (current,) = store._database.read(outbox.indexes)
    name = index._indexes.index(current.generation)
    client.indices.put_settings(index=name, settings={"index.blocks.write": True})
    receipt = store.session("s").delete()
    store.session("t").append(Message.user("pear"))
    with pytest.raises(IndexUnavailable, match="refuses"):
        index.drain("default")
    assert not store.receipt(receipt.id).complete
    assert len(held(store, client)) == 5
    client.indices.put_settings(index=name, settings={"index.blocks.write": False})
    assert texts(store, "pear") == ["pear"]
    assert store.receipt(receipt.id).complete
    assert len(held(store, client)) == 1
    assert store.verify().consistent


def test_what_was_set_aside_is_offered_to_a_new_index(open_own: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reindex that brings it in leaves nothing set aside."""
    store = open_own(settings=BY_HAND)
    store.session("s").append(Message.user("apple"))
    poisoned = partial(_poisoned, documents.written)
    with monkeypatch.context() as patch:
        patch.setattr(delivering, "written", poisoned)
        index_of(store).drain("default")
    assert store.verify().rejected == 1
    store.reindex()
    assert texts(store, "apple") == ["apple"]
    assert store.verify().consistent


def _poisoned(written: Callable[..., bytes], document: dict[str, Any], vector: Any, *, embedded: bool) -> bytes:
    """A document that the index does not take."""
    return written(document | {"no such field": 1}, vector, embedded=embedded)


def test_the_backlog(open_own: Open) -> None:
    """A worker knows how many messages wait, and for how long the oldest change has."""
    store = open_own(settings=BY_HAND)
    store.session("s").append([Message.user("apple"), Message.user("pear")])
    time.sleep(0.3)
    store.session("s").append(Message.user("train"))
    with store.index_worker() as worker:
        waits = worker.backlog()
        assert waits.messages == 3
        assert 0.3 <= waits.age < 30
        worker.catch_up()
        assert worker.backlog() == (0, 0.0)


def test_only_what_is_meant_is_claimed(open_own: Open) -> None:
    """A delivery for one user leaves others' changes to others."""
    store = open_own(settings=BY_HAND)
    for user in ("ana", "ben"):
        store.session(user, user_id=user).append(Message.user("apple"))
    index_of(store)._deliverer.deliver(Only("default", "ana"))
    assert waiting(store) == 1
    assert len(store.search("apple", user_id="ana", wait=True)) == 1
