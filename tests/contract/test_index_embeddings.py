"""Embedders that fail, change or disagree."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent_session_core import EmbeddingChanged, IndexUnavailable, Message, SessionStore, indexing
from agent_session_core.embedding import EmbeddingService, WordLlamaEmbedder, service
from agent_session_core.search import rebuild
from agent_session_core.search.embedded import EmbeddedIndex

if TYPE_CHECKING:
    from agent_session_core.ports import Vectors

Open = Callable[..., SessionStore]


class Letters:
    """An embedder of letter counts, which can be switched off and refuses what it is told to refuse."""

    def __init__(self, name: str = "letters", dimensions: int = 26) -> None:
        self.name = name
        self.dimensions = dimensions
        self.out = False
        self.refused = "\0"
        self.calls = 0
        self.texts: list[str] = []
        self.before: Callable[[Sequence[str]], object] = lambda texts: None

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Counts of letters."""
        self.calls += 1
        self.before(texts)
        if self.out:
            raise ConnectionError("no route to host")
        if any(self.refused in text for text in texts):
            raise ValueError("text too odd")
        self.texts += texts
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            for letter in text.lower():
                vectors[row, ord(letter) % self.dimensions] += 1
        return vectors

    def embed_query(self, text: str) -> Vectors:
        """Counts of letters."""
        vector: Vectors = self.embed_documents([text])[0]
        return vector


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts of a few milliseconds."""
    monkeypatch.setattr(service, "FIRST_WAIT", 0.002)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database file."""
    return tmp_path / "sessions.db"


@pytest.fixture
def open_store(path: Path) -> Iterator[Open]:
    """What opens a store on that file with an embedder."""
    stores = []

    def opened(embedder: object = None, **options: object) -> SessionStore:
        stores.append(SessionStore.open(f"sqlite:///{path}", embedder=embedder, **options))  # type: ignore[arg-type]  # any embedder
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


def index_of(store: SessionStore) -> EmbeddedIndex:
    """A store's index."""
    index = store._index
    assert isinstance(index, EmbeddedIndex)
    return index


def rested(store: SessionStore) -> None:
    """Let the time pass for which a failing embedder is left alone."""
    index_of(store)._maker._rests_until = 0.0
    due = "UPDATE outbox SET leased_until = 0 WHERE leased_until < 1 << 62"
    store._database.write(lambda conn: conn.exec_driver_sql(due))


def test_an_outage_delays_meaning_and_nothing_else(open_store: Open) -> None:
    """While the embedder is out, appends go on, words are found and the answer says so; then vectors follow."""
    embedder = Letters()
    store = open_store(embedder)
    session = store.session("s")
    session.append(Message.user("the first apple"))
    assert store.search("apple").degraded is None
    embedder.out = True
    session.append([Message.user(f"apple number {number}") for number in range(300)])
    results = store.search("apple number")
    assert len(results) == 10
    assert results.degraded is not None
    assert "no route to host" in results.degraded
    assert store.search("apple", mode="keyword").degraded is not None
    with pytest.raises(IndexUnavailable, match="no route to host"):
        store.search("apple", mode="semantic")
    assert len(store.search("apple", mode="semantic", on_outage="keyword")) > 0
    calls = embedder.calls
    store.search("apple")
    assert embedder.calls == calls  # it is left alone for a while
    embedder.out = False
    rested(store)
    assert store.search("apple").degraded is None
    assert index_of(store).verify("default").consistent


def test_a_text_that_is_refused_stands_in_nobodys_way(open_store: Open) -> None:
    """One refused text of many is set aside with the reason and found by its words; repair tries it again."""
    embedder = Letters()
    embedder.refused = "poison"
    store = open_store(embedder)
    store.session("s").append([Message.user("poison apple" if n == 77 else f"apple {n}") for n in range(200)])
    assert store.search("poison apple")[0].message.text == "poison apple"
    report = index_of(store).verify("default")
    assert (report.rejected, report.pending, report.missing, report.stale) == (1, 0, 0, 0)
    embedder.refused = "\0"
    assert index_of(store).repair("default").consistent


def test_an_embedder_that_gives_nonsense(open_store: Open) -> None:
    """Vectors of a wrong shape or that are not finite are an outage with its reason, not an index of nonsense."""

    class Nonsense(Letters):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            return np.full((len(texts) + 1, 4), np.nan, dtype=np.float32)

    store = open_store(Nonsense())
    store.session("s").append(Message.user("an apple"))
    results = store.search("apple")
    assert len(results) == 1
    assert results.degraded is not None
    assert "shape" in results.degraded


def test_another_embedding_is_named_and_never_mixed(open_store: Open) -> None:
    """With another embedder, searching by meaning names both and reindex(); keywords go on; nothing is indexed."""
    first = open_store(Letters())
    first.session("s").append(Message.user("an apple"))
    assert len(first.search("apple")) == 1
    second = open_store(Letters("other", 30))
    second.session("s").append(Message.user("a second apple"))
    for mode in ("hybrid", "semantic"):
        with pytest.raises(EmbeddingChanged, match=r"'letters'.*'other'.*reindex"):
            second.search("apple", mode=mode)
    results = second.search("apple", mode="keyword")
    assert [hit.message.text for hit in results] == ["an apple"]
    assert results.degraded is not None
    assert "reindex" in results.degraded
    assert len(first.search("apple")) == 2  # the first store's own indexer took the change in
    index_of(second).reindex("default")
    assert len(second.search("apple")) == 2
    assert second.search("apple").degraded is None
    assert index_of(second).verify("default").consistent
    with pytest.raises(EmbeddingChanged, match=r"'other'.*'letters'"):
        first.search("apple")


def test_other_dimensions_under_the_same_name(open_store: Open) -> None:
    """An embedder that keeps its name and changes its dimensions is found out."""
    store = open_store(Letters("x", 26))
    store.session("s").append(Message.user("an apple"))
    store.search("apple")
    changed = open_store(Letters("x", 30))
    changed.session("s").append(Message.user("a pear"))
    with pytest.raises(EmbeddingChanged, match="30 dimensions"):
        changed.search("pear")
    assert len(changed.search("apple", mode="keyword")) == 1


def test_another_analyzer(open_store: Open) -> None:
    """A store with another analyzer is told so too; by keyword it searches with the one the index was made with."""
    open_store().session("s").append(Message.user("running dogs"))
    assert len(open_store().search("run")) == 1
    plain = open_store(analyzer="none")
    with pytest.raises(EmbeddingChanged, match="analyzer 'english'"):
        plain.search("run")
    assert len(plain.search("run", mode="keyword")) == 1
    index_of(plain).reindex("default")
    assert len(plain.search("run", mode="keyword")) == 0
    assert len(plain.search("running", mode="keyword")) == 1


def test_tenants_have_an_index_each(open_store: Open) -> None:
    """Another tenant's embedder is nobody else's matter."""
    one, other = open_store(Letters(), tenant="one"), open_store(Letters("other", 30), tenant="other")
    for store in (one, other):
        store.session("s").append(Message.user("an apple"))
        assert len(store.search("apple")) == 1
    index_of(one).reindex("one")
    assert len(other.search("apple")) == 1


def test_reindexing_goes_on_where_it_was_broken_off(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off, reindexing keeps what it has, the old index answers meanwhile, and what changes behind it counts."""
    monkeypatch.setattr(rebuild, "BATCH", 50)
    old = open_store(Letters())
    for name in ("a", "b", "c"):
        old.session(name).append([Message.user(f"apple {name} {number}") for number in range(100)])
    assert len(old.search("apple", limit=300)) == 300
    embedder = Letters("other", 30)
    new = open_store(embedder)
    embedder.refused = "apple b"  # in the middle, the embedder fails altogether

    def fail(texts: Sequence[str]) -> Vectors:
        if any("apple b" in text for text in texts):
            embedder.out = True
        return Letters.embed_documents(embedder, texts)

    monkeypatch.setattr(embedder, "embed_documents", fail)
    with pytest.raises(IndexUnavailable):
        index_of(new).reindex("default")
    calls = embedder.calls
    assert len(old.search("apple", limit=300)) == 300
    old.session("a").remove(first=10)  # behind what is rebuilt
    old.session("d").append(Message.user("apple d"))
    assert len(old.search("apple", limit=300)) == 291
    embedder.out = False
    embedder.refused = "\0"
    monkeypatch.undo()
    rested(new)
    index_of(new).reindex("default")
    found = new.search("apple", limit=400)
    assert len(found) == 291
    assert {hit.message.text for hit in found if hit.session_id == "a"} == {f"apple a {n}" for n in range(10, 100)}
    assert embedder.calls > calls
    assert index_of(new).verify("default").consistent
    slots = new._database.read(lambda conn: conn.exec_driver_sql("SELECT DISTINCT id >> 62 FROM index_messages").all())
    assert [slot for (slot,) in slots] == [1]  # nothing is left of the old index


def rows(store: SessionStore) -> int:
    """How many vectors are kept for their texts."""
    count = "SELECT count(*) FROM index_embeddings"
    return int(store._database.read(lambda conn: conn.exec_driver_sql(count).scalar_one()))


def test_nothing_is_embedded_twice(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same text again, making the index anew, another analyzer or process: a service is asked for a text once."""
    monkeypatch.setattr(indexing, "BATCH", 40)
    embedder = Letters()
    store = open_store(embedder)
    at = datetime(2024, 5, 8, tzinfo=timezone.utc)
    for name in ("a", "b"):
        store.session(name).append([Message.user(f"apple {number}", created_at=at) for number in range(100)])
    found = [(hit.session_id, hit.message.seq, hit.score) for hit in store.search("apple 7", limit=50)]
    store.reindex()
    assert [(hit.session_id, hit.message.seq, hit.score) for hit in store.search("apple 7", limit=50)] == found
    other = Letters()
    plain = open_store(other, analyzer="none")
    plain.reindex()
    said = [text for text in embedder.texts if text.startswith("[")]
    assert len(said) == len(set(said)) == 100
    assert not [text for text in other.texts if text.startswith("[")]
    assert len(plain.search("apple 7", limit=200)) == 100  # what was said in both sessions is folded
    assert index_of(plain).verify("default").consistent


def test_kept_vectors_go_with_their_session(open_store: Open) -> None:
    """What was made for a session that is deleted is gone with it, hash and vector; what is made late is not kept."""
    embedder = Letters()
    store = open_store(embedder)
    for name in ("gone", "kept"):
        store.session(name).append([Message.user(f"{name} apple {number}") for number in range(20)])
    assert len(store.search("apple")) == 10
    assert rows(store) == 40
    assert store.session("gone").delete().complete
    assert rows(store) == 20

    def delete_first(texts: Sequence[str]) -> None:
        if any("late" in text for text in texts) and store.session("late").count():
            store.session("late").delete()  # while its vectors are made

    store.session("late").append(Message.user("a late apple"))
    embedder.before = delete_first
    assert store.search("apple", session_ids=["kept"])
    index_of(store).drain("default")
    assert rows(store) == 20
    store.session("kept").delete()
    assert rows(store) == 0


def test_the_default_embedding_is_not_kept_twice(open_store: Open) -> None:
    """What takes microseconds to make again is not kept."""
    store = open_store()
    store.session("s").append(Message.user("an apple"))
    assert len(store.search("apple")) == 1
    assert rows(store) == 0


def test_what_was_embedded_before_an_outage_is_kept(open_store: Open) -> None:
    """Where a part of many texts was embedded when the service went out, only the rest is asked for afterwards."""
    embedder = Letters()
    store = open_store(EmbeddingService(embedder, batch=50, concurrency=1))

    def go_out(texts: Sequence[str]) -> None:
        embedder.out = embedder.out or any("apple 150" in text for text in texts)

    embedder.before = go_out
    store.session("s").append([Message.user(f"apple {number}") for number in range(200)])
    assert store.search("apple").degraded is not None
    embedder.out = False
    embedder.before = lambda texts: None
    rested(store)
    assert store.search("apple").degraded is None
    said = [text for text in embedder.texts if text.startswith("[")]
    assert len(said) == len(set(said)) == 200


def test_an_embedder_that_is_out_never_delays_an_append(open_store: Open) -> None:
    """An append asks no embedder at all: it takes no longer while the embedder hangs."""
    embedder = Letters()
    store = open_store(embedder)
    hanging, released = threading.Event(), threading.Event()

    def hang(texts: Sequence[str]) -> None:
        hanging.set()
        released.wait(30)

    embedder.before = hang
    store.session("s").append(Message.user("the first apple"))
    searching = threading.Thread(target=store.search, args=("apple",))
    searching.start()
    assert hanging.wait(10)
    for number in range(20):
        store.session("s").append(Message.user(f"apple {number}"))
    assert store.session("s").count() == 21
    assert searching.is_alive()
    released.set()
    searching.join()
    assert len(store.search("apple", limit=50)) == 21


def test_the_default_embedding_needs_no_naming(open_store: Open) -> None:
    """A store without an embedder and one with the default embedder are the same to the index."""
    open_store().session("s").append(Message.user("an apple"))
    assert len(open_store().search("apple")) == 1
    assert len(open_store(WordLlamaEmbedder()).search("apple")) == 1
