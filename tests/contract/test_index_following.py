"""The index follows the store through concurrency, interruption and damage."""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest

from agent_session_core import Message, SessionNotFound, SessionStore, indexing
from agent_session_core.search import cache, refresh
from agent_session_core.search.embedded import EmbeddedIndex
from agent_session_core.search.request import SearchRequest
from agent_session_core.search.statements import key_of

WORDS = ["apple", "pear", "plum", "river", "hotel", "train", "night", "ticket", "rain", "budget", "dog", "cat"]
START = datetime(2024, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def store(url: str) -> Iterator[SessionStore]:
    """An empty store."""
    with SessionStore.open(url) as opened:
        yield opened


def index_of(store: SessionStore) -> EmbeddedIndex:
    """A store's index."""
    index = store._index
    assert isinstance(index, EmbeddedIndex)
    return index


def sentence(chance: random.Random) -> str:
    """A few random words."""
    return " ".join(chance.choices(WORDS, k=chance.randint(1, 8)))


def found(store: SessionStore, query: str, **options: object) -> list[tuple[str, int, float]]:
    """Session, seq and score of every hit."""
    hits = store.search(query, limit=500, **options)  # type: ignore[arg-type]  # any option
    return [(hit.session_id, hit.message.seq or 0, round(hit.score, 4)) for hit in hits]


def change(store: SessionStore, chance: random.Random) -> None:
    """Do one of the things that happen to sessions."""
    session = store.session(f"s{chance.randrange(4)}", user_id=None)
    what = chance.random()
    if what < 0.6:
        session.append([Message.user(sentence(chance), created_at=START) for _ in range(chance.randint(1, 5))])
    elif what < 0.7:
        session.pop_turn()
    elif what < 0.8 and session.count():
        session.remove(index=chance.randrange(session.count()))
    elif what < 0.85:
        session.replace([*session.messages()[: chance.randint(0, 3)], Message.user(sentence(chance))])
    elif what < 0.9:
        session.set_aside(first=1)
    elif what < 0.93:
        session.remove()
    elif what < 0.95:
        session.delete()
    else:
        index_of(store).drain("default")


@pytest.mark.parametrize("seed", range(6))
def test_following_equals_loading(store: SessionStore, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After any changes, in small batches, the index equals the store, and a search finds what a fresh one does."""
    monkeypatch.setattr(indexing, "BATCH", 3)
    chance = random.Random(seed)
    for step in range(60):
        change(store, chance)
        if step % 7 == 0:
            store.search("apple train")
    query = sentence(chance)
    grown = found(store, query)
    assert index_of(store).verify("default").consistent
    with SessionStore.open(store._database.url) as fresh:
        assert found(fresh, query) == grown
        live = {(s.id, m.seq) for s in fresh.sessions() for m in s.messages(archived=None)}
    assert {(name, seq) for name, seq, _ in grown} <= live


def test_damage_is_seen_and_mended(store: SessionStore) -> None:
    """What is missing, stale or orphaned is counted and named, and gone after a repair."""
    for name in ("a", "b"):
        store.session(name).append([Message.user(f"apple {number}") for number in range(10)])
    store.search("apple")
    index = index_of(store)
    assert index.verify("default").consistent

    def damage(statement: str) -> None:
        store._database.write(lambda conn: conn.exec_driver_sql(statement))

    a, b = (store.session(name)._plain_key.session for name in "ab")
    damage(f"DELETE FROM index_messages WHERE id = {key_of(a, 3)}")  # noqa: S608  # numbers
    damage(f"UPDATE index_messages SET stems = weights WHERE id = {key_of(b, 5)}")  # noqa: S608  # numbers
    damage(f"UPDATE messages SET state = 2 WHERE session = {b} AND seq = 10")  # noqa: S608  # a number
    damage(f"INSERT INTO index_sessions VALUES ({b + 77}, 0, 5, 1)")  # noqa: S608  # a number
    report = index.verify("default")
    assert (report.missing, report.stale, report.orphaned, report.pending) == (1, 1, 2, 0)
    assert set(report.sample) == {("a", 3, "missing"), ("b", 5, "stale"), ("b", 10, "orphaned")}
    assert not report.consistent
    assert index.repair("default").consistent
    assert len(store.search("apple", limit=100)) == 10  # what both sessions say is folded
    assert store.search("apple 9", session_ids=["b"])[0].message.text != "apple 9"


def test_nothing_of_a_deleted_session_stays_in_the_tables(store: SessionStore) -> None:
    """Deleting a session leaves no entry, mark or change of it, and touches nothing else."""
    store.session("gone").append([Message.user(f"apple {number}") for number in range(300)])
    store.session("kept").append(Message.user("a pear"))
    store.search("apple")
    store.session("kept").append(Message.user("two pears"))
    assert store.session("gone").delete().complete

    def count(statement: str) -> int:
        return int(store._database.read(lambda conn: conn.exec_driver_sql(statement).scalar_one()))

    assert count("SELECT count(*) FROM index_messages WHERE id >> 32 = 1") == 0
    assert count("SELECT count(*) FROM index_sessions WHERE session = 1") == 0
    assert count("SELECT count(*) FROM outbox WHERE session = 1") == 0
    assert count("SELECT count(*) FROM outbox") == 1  # what is pending elsewhere waits for its own search


def test_a_search_indexes_its_own_scope_only(store: SessionStore) -> None:
    """What is pending for others is left to them: a search pays for its own user's messages."""
    for user in ("ana", "ben"):
        store.session(user, user_id=user).append([Message.user(f"apple {number}") for number in range(300)])
    assert len(store.search("apple", user_id="ana", limit=500)) == 300
    assert index_of(store).verify("default").pending == 1
    assert len(store.search("apple", user_id="ben", limit=500)) == 300
    assert index_of(store).verify("default").consistent


def test_much_is_pending_for_others(store: SessionStore) -> None:
    """With more pending than is looked at one by one, a user's own changes are found all the same."""
    for number in range(250):
        store.session(f"s{number}", user_id="others").append(Message.user("noise"))
    store.session("mine", user_id="ana").append(Message.user("an apple"))
    assert [hit.message.text for hit in store.search("apple", user_id="ana")] == ["an apple"]
    assert len(store.search("noise", user_id="others", limit=300, mode="keyword")) == 1


def test_threads_search_while_others_write(store: SessionStore) -> None:
    """Under concurrent writers each search finds all that was written before it, in whole and without error."""
    errors: list[BaseException] = []
    stop = threading.Event()

    def write(number: int) -> None:
        chance = random.Random(number)
        try:
            for _ in range(25):
                marker = f"marker{number}x{chance.randrange(10**6)}"
                store.session(f"t{number}").append(Message.user(f"{marker} {sentence(chance)}"))
                assert store.search(marker, mode="keyword")[0].message.text.startswith(marker)
                if chance.random() < 0.3:
                    store.session(f"t{number}").pop_turn()
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            errors.append(error)
            stop.set()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    index_of(store).drain("default")
    assert index_of(store).verify("default").consistent


def _work(url: str, number: int) -> None:
    chance = random.Random(number)
    with SessionStore.open(url) as store:
        for _ in range(30):
            with suppress(SessionNotFound):  # another process deleted the session in between
                change(store, chance)
            store.search("apple train")


def test_processes_index_side_by_side(store: SessionStore) -> None:
    """Processes that change, drain and search one database at once leave an index that equals the store."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(store._database.url, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    chance = random.Random(99)
    while any(worker.is_alive() for worker in workers):
        with suppress(SessionNotFound):
            change(store, chance)
        found(store, "apple train")
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    grown = found(store, "apple train night")
    assert index_of(store).verify("default").consistent
    with SessionStore.open(store._database.url) as fresh:
        assert found(fresh, "apple train night") == grown


def test_isolation(store: SessionStore) -> None:
    """Twenty users with overlapping texts, two thousand random searches with random filters: nothing foreign.

    On a server, where each takes ten times as long, a quarter of them.
    """
    chance = random.Random(3)
    users = [f"user{number}" for number in range(20)]
    for user in users:
        for number in range(2):
            said = [
                Message(
                    role="assistant" if place % 2 else "user",
                    text=sentence(chance),
                    author=author,
                    created_at=START + timedelta(days=place),
                    metadata={"n": place % 3, "of": user},
                )
                for place, author in enumerate(chance.choices(["ana", "ben"], k=6))
            ]
            store.session(f"{user}/{number}", user_id=user).append(said)
    searches = 2_000 if store._database.url.startswith("sqlite") else 500
    found = 0
    for _ in range(searches):
        user = chance.choice(users)
        options: dict[str, object] = {}
        if chance.random() < 0.3:
            options["session_ids"] = [f"{chance.choice(users)}/{chance.randrange(2)}" for _ in range(3)]
        if chance.random() < 0.3:
            options["exclude_session_ids"] = [f"{chance.choice(users)}/0"]
        if chance.random() < 0.2:
            options["author"] = chance.choice(["ana", "ben", "user0"])
        if chance.random() < 0.2:
            options["metadata"] = {"n": chance.randrange(3)}
        if chance.random() < 0.2:
            options["roles"] = [chance.choice(["user", "assistant"])]
        if chance.random() < 0.2:
            options["since"] = START + timedelta(days=chance.randrange(6))
        if chance.random() < 0.2:
            options["group_by"] = "session"
        if chance.random() < 0.2:
            options["neighbours"] = chance.randrange(3)
        options["mode"] = chance.choice(["hybrid", "keyword", "semantic"])
        for hit in store.search(sentence(chance), user_id=user, **options):  # type: ignore[arg-type]  # any option
            assert hit.session_id.split("/")[0] == user
            assert all(near.metadata["of"] == user for near in (hit.message, *hit.neighbours))
            assert "roles" not in options or hit.message.role in options["roles"]  # type: ignore[operator]  # a list
            assert "since" not in options or (hit.message.created_at or START) >= options["since"]  # type: ignore[operator]  # a time
            found += 1
            assert "author" not in options or hit.message.author == options["author"]
            assert "metadata" not in options or hit.message.metadata["n"] == options["metadata"]["n"]  # type: ignore[index]  # a mapping
            assert "session_ids" not in options or hit.session_id in options["session_ids"]  # type: ignore[operator]  # a list
    assert found > 2.5 * searches


def test_filtered_equals_filtering_by_hand(store: SessionStore) -> None:
    """For random filters, the search's answer is the whole ranking, filtered by hand; never fewer than there are."""
    chance = random.Random(8)
    for number in range(8):
        store.session(f"s{number}").append(
            [
                Message(
                    role=chance.choice(["user", "assistant"]),
                    text=f"{sentence(chance)} {number} {place}",
                    author=chance.choice(["ana", "ben"]),
                )
                for place in range(40)
            ]
        )
    for _ in range(20):
        query = sentence(chance)
        whole = store.search(query, limit=1_000)
        roles, author = [chance.choice(["user", "assistant"])], chance.choice(["ana", "ben"])
        excluded = [f"s{chance.randrange(8)}"]
        by_hand = [
            (hit.session_id, hit.message.seq, hit.score)
            for hit in whole
            if hit.message.role in roles and hit.message.author == author and hit.session_id not in excluded
        ]
        filtered = store.search(query, limit=30, roles=roles, author=author, exclude_session_ids=excluded)  # type: ignore[arg-type]  # roles
        assert [(hit.session_id, hit.message.seq, hit.score) for hit in filtered] == by_hand[:30]


def test_a_very_large_scope_is_searched_in_its_newest_part(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the limit the sessions that changed last are searched, and the answer says so."""
    monkeypatch.setattr(refresh, "MOST_MESSAGES", 50)
    for name in ("old", "middle", "new"):
        store.session(name).append([Message.user(f"{name} apple {number}") for number in range(30)])
    results = store.search("apple", limit=100)
    assert results.truncated
    assert {hit.session_id for hit in results} == {"middle", "new"}
    store.session("old").append(Message.user("old apple again"))
    results = store.search("apple", limit=100)
    assert {hit.session_id for hit in results} == {"old", "new"}
    store.session("new").delete()
    store.session("middle").delete()
    results = store.search("apple", limit=100)
    assert not results.truncated
    assert len(results) == 31


def test_a_small_cache_changes_nothing(store: SessionStore) -> None:
    """With a cache that holds nothing, searches find the same."""
    store.session("s").append([Message.user(f"apple {number}") for number in range(30)])
    uncached = EmbeddedIndex(store._database, cache_bytes=1)
    request = SearchRequest(query="apple 7", tenant="default")
    for _ in range(2):
        expected = [hit.message.id for hit in store.search("apple 7")]
        assert [hit.message.id for hit in uncached.search(request)] == expected
    assert isinstance(uncached._cache, cache.ScopeCache)
    assert uncached._cache.get(("default", None, 1)) is None


def test_archived_sessions_are_searched_on_request(store: SessionStore) -> None:
    """Sessions that are archived are found only where they are asked for."""
    store.session("done").append(Message.user("an apple"))
    store._database.write(lambda conn: conn.exec_driver_sql("UPDATE sessions SET status = 'archived'"))
    assert list(store.search("apple")) == []
    assert [hit.session_id for hit in store.search("apple", archived=True)] == ["done"]
