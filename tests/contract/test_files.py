"""What a session's files promise, however the store is driven."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_session_core import (
    FileNotInSession,
    FileReference,
    InvalidInput,
    Message,
    Origin,
    Session,
    SessionNotActive,
    SessionNotFound,
    SessionStore,
    files,
)
from agent_session_core.sql.tables import blob_pieces, blobs
from tests.contract.drivers import Opened, bare

LARGE = random.Random(5).randbytes(2_500_000)


def _stored(session: Session) -> int:
    """The bytes that the session's database holds for files of its tenant."""
    key = session._plain_key
    of_tenant = blobs.select().where(blobs.c.tenant == key.tenant).with_only_columns(blobs.c.id)
    pieces = blob_pieces.select().where(blob_pieces.c.blob.in_(of_tenant)).with_only_columns(blob_pieces.c.data)
    return session._database.read(lambda conn: sum(len(data) for data in conn.execute(pieces).scalars()))


def test_a_file_has_versions(session: Session) -> None:
    """Each put is a version; the newest is what is got, older ones by their number; the same bytes change nothing."""
    first = session.files.put("plan.md", b"# one", media_type="text/markdown")
    second = session.files.put("plan.md", b"# two")
    assert session.files.put("plan.md", b"# two") == second
    assert (first.version, second.version, first.media_type) == (1, 2, "text/markdown")
    assert (first.size, first.sha256, first.data) == (5, hashlib.sha256(b"# one").hexdigest(), None)
    assert session.files.get("plan.md").data == b"# two"
    assert session.files.get("plan.md", 1).data == b"# one"
    assert session.files.history("plan.md") == [first, second]
    assert session.files.list() == [second]
    assert session.files.put("plan.md", b"# one").version == 3
    assert first.created_at <= second.created_at


@pytest.mark.parametrize("kind", ["bytes", "file", "pieces", "pipe"])
@pytest.mark.parametrize("size", [0, 1, files.PIECE, files.PIECE + 1, len(LARGE)])
def test_bytes_come_back_as_they_were(main_session: Session, kind: str, size: int) -> None:
    """However they are handed in, and whatever their size; also in pieces of a bounded size."""
    whole = LARGE[:size]

    class Pipe(io.BytesIO):
        """Gives less at a time than it is asked for."""

        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 65_537))

    given: Any = {
        "bytes": whole,
        "file": io.BytesIO(whole),
        "pieces": [whole[start : start + 99_991] for start in range(0, size, 99_991)],
        "pipe": Pipe(whole),
    }[kind]
    put = main_session.files.put("blob.bin", given)
    assert (put.size, put.sha256) == (size, hashlib.sha256(whole).hexdigest())
    assert main_session.files.get("blob.bin").data == whole
    pieces = list(main_session.files.stream("blob.bin"))
    assert b"".join(pieces) == whole
    assert all(0 < len(piece) <= files.PIECE for piece in pieces)


def test_the_same_bytes_are_stored_once(session: Session, store: SessionStore) -> None:
    """In all files, versions and sessions of a tenant; they go with the last that has them."""
    other = store.session("other")
    session.files.put("a.bin", LARGE)
    session.files.put("b.bin", LARGE)
    other.files.put("c.bin", LARGE)
    assert _stored(session) == len(LARGE)
    session.delete()
    assert other.files.get("c.bin").data == LARGE
    other.delete()
    assert _stored(store.session("third")) == 0


def test_tenants_share_no_bytes(session: Session, opened: Opened) -> None:
    """Erasing one tenant's file leaves the same bytes of another's."""
    other = opened.store().session("trip")
    session.files.put("a.bin", b"\x00same")
    other.files.put("a.bin", b"\x00same")
    session.delete()
    assert other.files.get("a.bin").data == b"\x00same"


def test_files_are_listed_by_name(session: Session) -> None:
    """The newest version of each, in the order of names; a name is a name, slashes mean nothing."""
    for name in ("b.txt", "../a", "c/d.txt", "b.txt"):
        session.files.put(name, name.encode() + b"!")
        session.files.put(name, name.encode())
    assert [(file.name, file.version) for file in session.files.list()] == [("../a", 2), ("b.txt", 4), ("c/d.txt", 2)]


def test_the_media_type_is_told_by_the_name(session: Session) -> None:
    """Unless it is given; what is packed is no text, whatever is in it."""
    names = {"a.txt": "text/plain", "a.json": "application/json", "a": "application/octet-stream"}
    names["plan.txt.gz"] = "application/octet-stream"
    assert {name: session.files.put(name, b"x").media_type for name in names} == names
    assert session.files.put("a", b"x", media_type="text/x-mine").media_type == "text/x-mine"


def test_a_deleted_file_is_gone_until_it_is_put_again(session: Session) -> None:
    """It is neither listed nor got; its history stays, and goes on with the next number."""
    session.files.put("a.txt", b"one")
    session.files.delete("a.txt")
    assert session.files.list() == []
    for call in (lambda: session.files.get("a.txt"), lambda: session.files.delete("a.txt")):
        with pytest.raises(FileNotInSession, match=r"name: 'a.txt' is not found; files.list\(\) has those there are"):
            call()
    assert [version.version for version in session.files.history("a.txt")] == [1]
    assert session.files.put("a.txt", b"one").version == 2


def test_absent_files_and_versions_are_named(session: Session) -> None:
    """A file or version that is not there is told as such, before anything is read."""
    session.files.put("a.txt", b"one")
    with pytest.raises(FileNotInSession, match=r"name: 'b.txt' is not found; "):
        session.files.get("b.txt")
    with pytest.raises(FileNotInSession, match=r"name: 'a.txt' is not found in version 2; "):
        list(session.files.stream("a.txt", 2))
    assert session.files.history("b.txt") == []


def test_files_of_others_do_not_exist(session: Session, store: SessionStore, opened: Opened) -> None:
    """A name means nothing in another session, for another user or another tenant."""
    session.files.put("a.txt", b"mine")
    for other in (store.session("other"), store.session("ana's", user_id="ana"), opened.store().session("trip")):
        assert other.files.list() == other.files.history("a.txt") == []
        with pytest.raises(FileNotInSession):
            other.files.get("a.txt")


def test_a_put_that_breaks_off_leaves_nothing(session: Session) -> None:
    """The reader's own error comes through; there is no version, and no bytes are left."""

    def pieces() -> Iterator[bytes]:
        yield LARGE
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="the disk went away"):
        session.files.put("a.bin", pieces())
    assert session.files.list() == []
    assert _stored(session) == 0


def test_a_put_into_a_session_that_goes_leaves_nothing(session: Session, store: SessionStore) -> None:
    """Bytes that come behind an erasure, or after the session has closed, are refused; those before it are gone."""

    def pieces(end: Any) -> Iterator[bytes]:
        yield LARGE
        end()
        yield LARGE

    closed = store.session("closed")
    with pytest.raises(SessionNotActive):
        closed.files.put("a.bin", pieces(bare(closed).close))
    with pytest.raises(SessionNotFound):
        session.files.put("a.bin", pieces(bare(session).delete))
    assert _stored(closed) == 0
    assert closed.files.list() == []


def test_limits_are_named(main_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, and a session's files together, have a limit; the same bytes count once; nothing is left of a refusal."""
    monkeypatch.setattr(files, "MAX_FILE", 1_000)
    monkeypatch.setattr(files, "MAX_SESSION", 1_500)
    with pytest.raises(InvalidInput, match=r"data: over 1,000 bytes in 'a\.bin'; keep it elsewhere"):
        main_session.files.put("a.bin", LARGE[:1_001])
    main_session.files.put("a.bin", LARGE[:1_000])
    main_session.files.put("b.bin", LARGE[:500])
    with pytest.raises(InvalidInput, match="data: the session's files would be over 1,500 bytes"):
        main_session.files.put("a.bin", LARGE[:400])
    assert [(file.name, file.size) for file in main_session.files.list()] == [("a.bin", 1_000), ("b.bin", 500)]
    assert _stored(main_session) == 1_500


BAD_NAMES: list[Any] = ["", "x" * 513, "a\nb", "\x00", "\ud800", 5, None, b"x"]
BAD_DATA: list[Any] = ["text", 5, None, [5], ["text"], {"a": 1}, io.StringIO("text"), object()]


def test_what_is_no_file_is_refused(main_session: Session) -> None:
    """Names, versions, types and data that cannot be used are named; nothing is changed."""
    kept = main_session.files
    kept.put("a.txt", b"there")
    calls: list[tuple[str, Any]] = [
        *(("name", lambda bad=bad: kept.put(bad, b"x")) for bad in BAD_NAMES),
        *(("name", lambda bad=bad: kept.get(bad)) for bad in BAD_NAMES),
        *(("name", lambda bad=bad: list(kept.stream(bad))) for bad in BAD_NAMES),
        *(("name", lambda bad=bad: kept.history(bad)) for bad in BAD_NAMES),
        *(("name", lambda bad=bad: kept.delete(bad)) for bad in BAD_NAMES),
        *(("data", lambda bad=bad: kept.put("a.txt", bad)) for bad in BAD_DATA),
        *(("media_type", lambda bad=bad: kept.put("a.txt", b"x", media_type=bad)) for bad in (5, "", "a\nb", b"x")),
        *(("version", lambda bad=bad: kept.get("a.txt", bad)) for bad in (0, -1, "1", 1.0, True, 10**5000)),
    ]
    before = main_session.revision
    for argument, call in calls:
        with pytest.raises(InvalidInput, match=rf"^{argument}: ") as caught:
            call()
        assert len(str(caught.value)) < 400
    assert main_session.revision == before
    assert [(file.name, file.version) for file in kept.list()] == [("a.txt", 1)]


def test_a_deleted_session_has_no_files(session: Session) -> None:
    """Its handles are told so."""
    session.files.put("a.txt", b"x")
    session.delete()
    kept = session.files
    for call in (
        kept.list,
        lambda: kept.get("a.txt"),
        lambda: kept.put("a.txt", b"y"),
        lambda: kept.delete("a.txt"),
        lambda: kept.history("a.txt"),
    ):
        with pytest.raises(SessionNotFound):
            call()


def test_a_reader_is_told_when_the_file_goes(tmp_path: Path) -> None:
    """A stream whose session is erased ends with an error: never with fewer bytes than the file had."""
    with SessionStore.open(f"sqlite:///{tmp_path}/s.db", index="off") as store:
        session = store.session("trip")
        session.files.put("a.bin", LARGE)
        stream = session.files.stream("a.bin")
        next(stream)
        session.delete()
        with pytest.raises(FileNotInSession, match=r"name: 'a\.bin' was erased while it was read"):
            list(stream)


def test_text_is_found_with_the_messages(store_with_index: SessionStore) -> None:
    """A hit in a file names the file and version; the newest version alone is found, and no history shows passages."""
    session = store_with_index.session("trip", user_id="ana")
    session.append(Message.user("Where shall we hear music?"), Message.assistant("I have put it into the plan."))
    session.files.put("plan.md", b"A fado evening in Alfama, on the first night.", media_type="text/markdown")
    session.append(Message.user("Thanks."))
    (hit,) = store_with_index.search("fado evening", mode="keyword")
    assert (hit.file, hit.session_id, hit.message.role) == (FileReference("plan.md", 1), "trip", "tool")
    assert store_with_index.search("thanks", mode="keyword")[0].file is None
    assert [message.seq for message in session.messages()] == [1, 2, 4]
    assert (session.count(), session.count(archived=None)) == (3, 3)
    session.files.put("plan.md", b"A picnic by the river instead.", media_type="text/markdown")
    assert len(store_with_index.search("fado evening", mode="keyword")) == 0
    (hit,) = store_with_index.search("picnic", mode="keyword")
    assert hit.file == FileReference("plan.md", 2)
    session.files.delete("plan.md")
    assert len(store_with_index.search("picnic", mode="keyword")) == 0
    assert store_with_index.verify().consistent


def test_passages_stand_in_nobodys_surroundings(store_with_index: SessionStore) -> None:
    """A hit's neighbours are messages alone, and the words of a file earn no message a place."""
    session = store_with_index.session("trip")
    session.append(Message.user("We begin."), Message.assistant("Yes."))
    session.files.put("plan.txt", b"zanzibar zanzibar zanzibar")
    session.append(Message.user("Go on."), Message.assistant("Good."))
    hits = store_with_index.search("zanzibar", mode="keyword", neighbours=2)
    assert [hit.file for hit in hits] == [FileReference("plan.txt", 1)]
    assert [message.text for message in hits[0].neighbours] == ["We begin.", "Yes.", "Go on.", "Good."]
    around = store_with_index.search("go on", mode="keyword", neighbours=1)[0].neighbours
    assert {message.text for message in around} <= {"We begin.", "Yes.", "Good."}
    grouped = store_with_index.search("zanzibar go on", group_by="session")
    assert all(message.origin is None for message in grouped[0].neighbours)


def test_a_long_text_is_found_at_every_place(store_with_index: SessionStore) -> None:
    """The passages of a long file are found each by its own words."""
    words = [f"word{number:04}" for number in range(2_000)]
    session = store_with_index.session("trip")
    session.files.put("long.txt", "\n".join(words).encode())
    for word in (words[0], words[999], words[-1]):
        (hit,) = store_with_index.search(word, mode="keyword", limit=1)
        assert hit.file == FileReference("long.txt", 1)
        assert word in hit.message.text


def test_no_message_can_pass_for_a_file(main_session: Session) -> None:
    """The mark by which passages are known is refused on messages."""
    forged = Message.user("x", name="plan.md", origin=Origin("file", "1", "plan.md"))
    for write in (main_session.append, main_session.replace):
        with pytest.raises(InvalidInput, match=r"^origin\.framework: 'file' is what the text of files comes from"):
            write([forged])
    assert main_session.count() == 0


@pytest.fixture
def store_with_index(tmp_path: Path) -> Iterator[SessionStore]:
    """A store that can be searched."""
    with SessionStore.open(f"sqlite:///{tmp_path}/s.db") as store:
        yield store
