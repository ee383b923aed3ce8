"""The command line shows what is stored, changes what it is asked to, and tells a mistake in one line."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from typer.testing import CliRunner, Result

from agent_session_core import Message, ReasoningPart, SessionStore, ToolCallPart
from agent_session_core.cli.app import app

PLAN = b"# Plan\nThe fado evening is on Friday, by the river Tagus.\n"
COMMANDS = (
    "list",
    "show",
    "search",
    "tail",
    "tasks",
    "files",
    "export",
    "load",
    "sweep",
    "restore",
    "delete",
    "verify",
    "reindex",
)


class Run(Protocol):
    """Runs the command; a code other than the expected one fails the test."""

    def __call__(self, *arguments: str, code: int = 0, input: str | bytes | None = None, columns: int = 100) -> Result:
        """What it printed."""
        ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SESSION_CORE_DB", raising=False)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """The command, in the folder."""

    def running(*arguments: str, code: int = 0, input: str | bytes | None = None, columns: int = 100) -> Result:
        done = CliRunner().invoke(app, list(arguments), input=input, env={"COLUMNS": str(columns)})
        assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return done

    return running


@pytest.fixture
def filled(folder: Path) -> Path:
    """A database ``sessions.db`` with some sessions in it."""
    with SessionStore.open("sqlite:///sessions.db") as store:
        trip = store.session(
            "trip-42", user_id="ana", agent_id="planner", title="Lisbon in May", metadata={"kind": "trip", "year": 2026}
        )
        trip.append(
            Message.user("We fly to Lisbon on the 4th of May."),
            Message.assistant("Noted. Shall I look for a room?"),
            Message.user("Yes, something quiet."),
            Message.assistant(
                parts=(ReasoningPart("Avoid the old town."), ToolCallPart("call_1", "search_hotels", {"quiet": True}))
            ),
            Message.tool("Casa do Jasmim\x1b[31m, 104 euros", "call_1", name="search_hotels"),
            Message.assistant("Casa do Jasmim is quiet.\n" + "\n".join(f"line {number}" for number in range(40))),
        )
        trip.state.update(budget=900, stops=["Porto"])
        trip.files.put("plan.md", b"# Plan\n", media_type="text/markdown")
        trip.files.put("plan.md", PLAN, media_type="text/markdown")
        book = trip.tasks.add("Book the journey", status="in_progress")
        trip.tasks.add("Flights", parent=book, status="completed")
        hotel = trip.tasks.add("Hotel", parent=book, note="waiting for\nthe confirmation")
        hotel.update(progress=0.5)
        trip.tasks.add("Pack", status="cancelled")
        bike = store.session("bike", user_id="ben", title="A bicycle")
        bike.append(Message.user("The tyres at 2.8 bar were the answer."))
        bike.close()
        store.session("idle", idle_timeout=timedelta(microseconds=1))
    return folder / "sessions.db"


def _json(done: Result) -> Any:
    assert done.stdout.isascii()
    return json.loads(done.stdout)


def test_the_help_names_every_command(run: Run) -> None:
    """Without arguments, and with --help, the commands are told, and each has a help of its own with its options."""
    for done in (run(code=2), run("--help")):
        assert all(command in done.output for command in COMMANDS)
    for command in COMMANDS:
        told = run(command, "--help").stdout
        assert "--json" in told or command == "files"
        assert "--db" in told or command == "files"
    assert run("--version").stdout.startswith("session-core ")


def test_list(run: Run, filled: Path) -> None:
    """The newest first, with what tells them apart; narrowed by text, status, metadata and user."""
    shown = run("list").stdout
    assert shown.index("idle") < shown.index("A bicycle") < shown.index("Lisbon in May")
    assert "3 sessions" in shown
    assert "trip-42" in run("list", "LISBON").stdout
    assert "bike" not in run("list", "lisbon").stdout
    assert "bike" in run("list", "--status", "closed", "--status", "archived").stdout
    assert "trip-42" in run("list", "--meta", "year=2026", "--meta", "kind=trip").stdout
    assert "No session is like that." in run("list", "--meta", "year=2025").stdout
    assert [session["id"] for session in _json(run("list", "--user", "ben", "--json"))["sessions"]] == ["bike"]
    assert _json(run("list", "--tenant", "other", "--json")) == {"sessions": [], "next_cursor": None}
    assert "There are no sessions yet." in run("list", "--tenant", "other").stdout


def test_list_goes_on(run: Run, filled: Path) -> None:
    """Each page tells how to get the next, as text and as JSON."""
    seen: list[str] = []
    cursor: list[str] = []
    while True:
        page = _json(run("list", "-n", "1", "--json", *cursor))
        seen += [session["id"] for session in page["sessions"]]
        if page["next_cursor"] is None:
            break
        assert f"--before {page['next_cursor']}" in run("list", "-n", "1", *cursor).stdout
        cursor = ["--before", page["next_cursor"]]
    assert seen == ["idle", "bike", "trip-42"]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_nothing_is_wider_than_the_screen(run: Run, filled: Path, columns: int) -> None:
    """Tables and texts fit the terminal, and ids stay whole where there is room for them."""
    for arguments in (("list",), ("show", "trip-42"), ("search", "quiet room", "--explain"), ("tasks", "trip-42")):
        done = run(*arguments, columns=columns)
        assert max(map(len, done.stdout.splitlines())) <= columns, arguments
    assert "trip-42" in run("list", columns=columns).stdout


def test_show(run: Run, filled: Path) -> None:
    """What is known of a session, what is in it, and what was said, with calls, results and long texts cut."""
    shown = run("show", "trip-42").stdout
    for words in ("Lisbon in May", "ana", "planner", "active", "kind='trip'", "budget, stops", "plan.md", "1 of 4"):
        assert words in shown
    assert "→ search_hotels(quiet=true)" in shown
    assert "Casa do Jasmim\ufffd[31m, 104 euros" in shown
    assert "\x1b" not in shown
    assert "--full shows them" in shown
    assert "line 39" not in shown
    assert "line 39" in run("show", "trip-42", "--full").stdout
    last = run("show", "trip-42", "--last", "1").stdout
    assert "We fly" not in last
    assert "6, 1 shown" in last


def test_show_as_json(run: Run, filled: Path) -> None:
    """With --json, everything that is shown is there for other programs, in the words of an export."""
    shown = _json(run("show", "trip-42", "--json"))
    assert shown["session"]["metadata"] == {"kind": "trip", "year": 2026}
    assert shown["session"]["messages"] == len(shown["messages"]) == 6
    assert shown["messages"][4]["text"] == "Casa do Jasmim\x1b[31m, 104 euros"
    assert shown["messages"][3]["parts"][1]["name"] == "search_hotels"
    assert shown["state"] == {"budget": 900, "stops": ["Porto"]}
    assert [(file["name"], file["version"]) for file in shown["files"]] == [("plan.md", 2)]
    assert len(shown["tasks"]) == 4


def test_a_broken_off_call_is_shown(run: Run, filled: Path) -> None:
    """A tool call whose process is gone stands out: somebody has to look."""
    with SessionStore.open("sqlite:///sessions.db") as store:
        store.session("trip-42").tool_call("pay", {"amount": 3}, id="call_9").__enter__()
    with closing(sqlite3.connect(filled)) as connection:
        connection.execute("UPDATE leases SET expires_at = 0")
        connection.commit()
    assert "pay (call_9): broken off; nobody knows whether it acted" in " ".join(run("show", "trip-42").stdout.split())
    assert _json(run("show", "trip-42", "--json"))["unknown_calls"][0]["arguments"] == {"amount": 3}


def test_search(run: Run, filled: Path) -> None:
    """Hits with their score, session and words; a file by its name; filters narrow them."""
    shown = run("search", "fado evening by the river").stdout
    assert shown.startswith("1. 0.")
    assert "file plan.md" in shown.split("2. ")[0]
    for narrowing in (
        ("--user", "ben"),
        ("--session", "bike"),
        ("--exclude", "trip-42"),
        ("--role", "system"),
        ("--author", "nobody"),
        ("--since", "2999-01-01"),
        ("--until", "2000-01-01T00:00"),
        ("--min-score", "1"),
        ("--meta", "a=b"),
    ):
        assert "Lisbon" not in run("search", "fado evening by the river", *narrowing).stdout, narrowing
    around = run("search", "look for a room", "-n", "1", "--mode", "keyword", "--neighbours", "1").stdout
    assert "We fly to Lisbon" in around
    assert "Nothing was found." in run("search", "tyres", "--user", "ana", "--mode", "keyword").stdout


def test_search_explains(run: Run, filled: Path) -> None:
    """--explain adds a table of the parts of each score, and --json has them as numbers."""
    shown = run("search", "tyres bar", "--explain", columns=120).stdout
    header = next(line for line in shown.splitlines() if "Score" in line)
    assert header.split()[:4] == ["Hit", "Score", "Words", "Meaning"]
    assert "tyres" in shown.split("Found")[1]
    found = _json(run("search", "tyres bar", "--explain", "--json"))
    assert found["hits"][0]["session"] == "bike"
    assert set(found["hits"][0]["explanation"]["words"]) == {"tyres", "bar"}
    assert (found["degraded"], found["truncated"]) == (None, False)
    assert _json(run("search", "tyres bar", "--json"))["hits"][0]["explanation"] is None


def test_tail(run: Run, filled: Path) -> None:
    """The newest messages; as JSON one a line."""
    shown = run("tail", "trip-42", "-n", "2").stdout
    assert "We fly" not in shown
    assert "Casa do Jasmim is quiet." in shown
    lines = run("tail", "trip-42", "-n", "100", "--json").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert run("tail", "trip-42", "-n", "0").stdout == run("tail", "idle").stdout == ""


def test_tasks(run: Run, filled: Path) -> None:
    """The tree with marks, notes and the progress that follows from the parts."""
    shown = run("tasks", "trip-42").stdout
    assert [line.rstrip() for line in shown.splitlines()] == [
        "Lisbon in May",
        "├── ◐ Book the journey  ━━━━━━━━── 75%",
        "│   ├── ● Flights",
        "│   └── ○ Hotel  ━━━━━───── 50%",
        "│       waiting for",
        "│       the confirmation",
        "└── ⊘ Pack",
    ]
    opened = run("tasks", "trip-42", "--open").stdout
    assert "Flights" not in opened
    assert "Hotel" in opened
    told = _json(run("tasks", "trip-42", "--json"))["tasks"]
    assert [(task["title"], task["depth"], task["progress"]) for task in told][:2] == [
        ("Book the journey", 0, 0.75),
        ("Flights", 1, 1),
    ]
    assert "There are no tasks." in run("tasks", "bike").stdout
    assert "Nothing is still to be done." in run("tasks", "bike", "--open").stdout


def test_files(run: Run, filled: Path, folder: Path) -> None:
    """Files are listed with their versions, gotten as they are, and put as new versions."""
    assert "plan.md" in run("files", "list", "trip-42").stdout
    assert "2 versions" in run("files", "list", "trip-42", "--history").stdout
    assert "There are no files." in run("files", "list", "bike").stdout
    assert run("files", "get", "trip-42", "plan.md").stdout_bytes == PLAN
    assert "version 1" in run("files", "get", "trip-42", "plan.md", "-o", "old.md", "--version", "1").stdout
    assert (folder / "old.md").read_bytes() == b"# Plan\n"
    told = _json(run("files", "get", "trip-42", "plan.md", "-o", "old.md", "--force", "--json"))
    assert (told["version"], told["path"], (folder / "old.md").read_bytes()) == (2, "old.md", PLAN)

    (folder / "photo.bin").write_bytes(bytes(range(256)) * 4_000)
    with SessionStore.open("sqlite:///sessions.db") as store:
        store.session("bike").restore()
    assert "1.0 MB, version 1" in run("files", "put", "bike", "photo.bin").stdout
    assert _json(run("files", "put", "bike", "-", "--name", "photo.bin", "--json", input=b"new"))["version"] == 2
    assert run("files", "get", "bike", "photo.bin").stdout_bytes == b"new"
    assert [file["size"] for file in _json(run("files", "list", "bike", "--history", "--json"))["files"]] == [
        1_024_000,
        3,
    ]


def test_export_and_load(run: Run, filled: Path, folder: Path) -> None:
    """What is exported and loaded into a new database is the same; doing it again changes nothing."""
    told = run("export", "-o", "all.jsonl").stdout
    assert told.startswith("all.jsonl: 3 sessions, ")
    assert "3 new sessions" in run("load", "all.jsonl", "--db", "new.db").stdout
    report = _json(run("load", "all.jsonl", "--db", "sqlite:///new.db", "--json"))["files"][0]
    assert (report["sessions"], report["messages"], report["records"], report["problem_count"]) == (0, 0, 0, 0)
    assert report["repeated"] > 10
    assert run("export", "--db", "new.db").stdout == (folder / "all.jsonl").read_text()
    assert run("files", "get", "trip-42", "plan.md", "--db", "new.db").stdout_bytes == PLAN
    assert "file plan.md" in run("search", "fado evening", "--db", "new.db").stdout
    one = _json(run("export", "bike", "-o", "one.jsonl", "--json"))
    assert (one["sessions"], one["bytes"]) == (1, (folder / "one.jsonl").stat().st_size)
    piped = run("load", "-", "--db", "piped.db", "--user", "zoe", input=(folder / "one.jsonl").read_text()).stdout
    assert "standard input: 1 new session, 1 message" in piped
    assert _json(run("list", "--db", "piped.db", "--json"))["sessions"][0]["user_id"] == "zoe"


@pytest.mark.parametrize("name", ["sessions.db", "sessions.db-wal", "sessions.db-shm", "sessions.db-lock", "link"])
def test_nothing_is_written_over_the_database(run: Run, filled: Path, folder: Path, name: str) -> None:
    """A file of the database that is read is never written to, whatever is asked."""
    (folder / "link").symlink_to(filled)
    for command in (("export",), ("files", "get", "trip-42", "plan.md")):
        done = run(*command, "-o", name, "--force", code=1)
        assert f"{name}: it belongs to the database that is read; name another file" in done.stderr
    assert "3 sessions" in run("export", "-o", "all.jsonl").stdout


def test_load_tells_what_it_could_not_read(run: Run, filled: Path, folder: Path) -> None:
    """Problems are told with their lines and the exit code is 1; the rest is there."""
    run("export", "trip-42", "-o", "trip.jsonl")
    lines = (folder / "trip.jsonl").read_text().splitlines()
    lines[2:4] = ["{broken", '{"type":"note"}']
    (folder / "trip.jsonl").write_text("\n".join(lines))
    done = run("load", "trip.jsonl", "--db", "new.db", code=1)
    assert "1 new session, " in done.stdout
    assert "2 problems; the rest is loaded:" in done.stderr
    assert "line 3: not JSON" in done.stderr
    problems = _json(run("load", "trip.jsonl", "--db", "new.db", "--json", code=1))["files"][0]["problems"]
    assert [problem["where"] for problem in problems] == ["line 3", "line 4"]


def test_load_reads_a_pipe(run: Run, filled: Path, folder: Path) -> None:
    """What another program writes into a named pipe, as a shell's process substitution does, is loaded."""
    lines = run("export", "bike").stdout
    os.mkfifo(folder / "pipe")
    writer = threading.Thread(target=(folder / "pipe").write_text, args=(lines,))
    writer.start()
    assert "pipe: 1 new session, 1 message" in run("load", "pipe", "--db", "odd name?#100%.db").stdout
    writer.join()
    assert "bike" in run("list", "--db", "odd name?#100%.db").stdout


def test_load_takes_a_chatgpt_export(run: Run, folder: Path) -> None:
    """The conversations.json of a ChatGPT data export is loaded as it is."""
    node = {"id": "n", "parent": None, "message": {"author": {"role": "user"}, "content": {"parts": ["Hello GPT"]}}}
    node["message"]["content"]["content_type"] = "text"  # type: ignore[index]  # a literal of mixed values
    conversation = {"title": "Chat", "conversation_id": "c-1", "current_node": "n", "mapping": {"n": node}}
    (folder / "conversations.json").write_text(json.dumps([conversation]))
    assert "1 new session, 1 message" in run("load", "conversations.json", "--db", "new.db").stdout
    assert "Hello GPT" in run("show", "c-1", "--db", "new.db").stdout


def test_sweep(run: Run, filled: Path) -> None:
    """What is due is told, and done when it is asked for."""
    dry = run("sweep", "--dry-run", "--archive-after", "0s").stdout
    assert "nothing was changed" in dry
    assert "1 to expire  idle" in dry
    assert "1 to archive  bike" in dry
    assert _json(run("show", "idle", "--json"))["session"]["revision"] == 0
    swept = _json(run("sweep", "--archive-after", "0s", "--json"))
    assert (swept["dry_run"], swept["expired"]) == (False, ["idle"])
    assert "bike" in swept["archived"]
    assert "bike" in run("sweep", "--delete-after", "0s").stdout
    assert [session["id"] for session in _json(run("list", "--json"))["sessions"]] == ["trip-42"]


def test_delete_asks(run: Run, filled: Path) -> None:
    """Deleting names what is to go and asks; only a yes deletes."""
    for answer in ("n\n", "", "\n"):
        done = run("delete", "trip-42", input=answer, code=1)
        assert "trip-42 (Lisbon in May): 6 messages" in done.stderr
        assert "nothing was deleted" in done.stderr
    assert "trip-42" in run("list").stdout
    done = run("delete", "trip-42", input="y\n")
    assert "Deleted trip-42: " in done.stdout
    assert "2 variables, 1 file, 4 tasks" in done.stdout
    receipts = _json(run("delete", "bike", "idle", "bike", "--yes", "--json"))["receipts"]
    assert [(receipt["session_ids"], receipt["complete"]) for receipt in receipts] == [
        (["bike"], True),
        (["idle"], True),
    ]
    assert "There are no sessions yet." in run("list").stdout


def test_restore(run: Run, filled: Path) -> None:
    """A session that refuses writes says how it is made active again, and that works."""
    (filled.parent / "a.txt").write_text("a")
    assert "'session-core restore' makes it active again" in run("files", "put", "bike", "a.txt", code=1).stderr
    assert run("restore", "bike").stdout == "bike is active.\n"
    run("files", "put", "bike", "a.txt")
    assert _json(run("restore", "bike", "--json")) == {"session": "bike", "status": "active"}


def test_what_is_not_there_is_told(run: Run, filled: Path) -> None:
    """A search in a session that is not there says so; a file without sessions is no export, and makes no database."""
    assert "there is no session 'nope'" in run("search", "tyres", "--session", "nope", code=1).stderr
    (filled.parent / "empty.jsonl").touch()
    assert "no sessions are in it" in run("load", "empty.jsonl", "--db", "new.db", code=1).stderr
    assert not (filled.parent / "new.db").exists()
    assert "say where to, by -o" in run("files", "get", "trip-42", "plan.md", "--json", code=1).stderr


def test_verify_and_repair(run: Run, filled: Path) -> None:
    """An index that lacks something is told of with exit code 1, and put right by --repair."""
    told = run("verify").stdout
    assert "as it should be" in told
    assert "will come in with the next search" in told
    waiting = _json(run("verify", "--json"))
    assert waiting["consistent"] is True
    assert waiting["pending"] > 0
    run("search", "tyres")
    assert "exactly what is stored." in run("verify").stdout
    assert _json(run("verify", "--json"))["consistent"] is True
    with closing(sqlite3.connect(filled)) as connection:
        connection.execute("DELETE FROM index_messages WHERE id = (SELECT max(id) FROM index_messages)")
        connection.commit()
    told = run("verify", code=1).stdout
    assert "1 stored, and not in the index" in told
    assert "--repair" in told
    assert _json(run("verify", "--json", code=1))["missing"] == 1
    assert "exactly what is stored" in run("verify", "--repair").stdout
    messages = _json(run("reindex", "--json"))["messages"]
    assert f"The index is new: {messages} messages read." in run("reindex").stdout
    assert messages >= 7


def test_an_index_on_a_server_is_moved_only_when_asked_to(run: Run, filled: Path) -> None:
    """Without the server's name, a search and ``reindex`` say what to type; ``--into-database`` moves the index."""
    with closing(sqlite3.connect(filled)) as connection:
        connection.execute("INSERT INTO elastic_indexes VALUES (1, 0, 1, 0, 0, 1, 'english', 'words', NULL, 1, NULL)")
        connection.commit()
    told = run("search", "tyres", code=1).stderr
    assert "searched by way of Elasticsearch; name the server with --index, or bring the index back" in told
    assert "with 'session-core reindex --into-database'" in told
    assert "store." not in told
    told = run("reindex", code=2).stderr
    assert "would move into the database" in told
    assert "give --index URL to make it anew there, or --into-database to move it" in told
    assert "Elasticsearch" in run("search", "tyres", code=1).stderr
    server = ("--index", "http://127.0.0.1:9")
    assert "cannot go with --index" in run("reindex", "--into-database", *server, code=2).stderr
    assert "The index is new" in run("reindex", "--into-database").stdout
    assert "tyres" in run("search", "tyres").stdout
    assert "The index is new" in run("reindex").stdout


MISTAKES: tuple[tuple[tuple[str, ...], int, str], ...] = (
    (("list", "--db", "missing.db"), 1, "there is no database missing.db"),
    (("list", "--db", "sqlite:///missing.db"), 1, "there is no database missing.db"),
    (("search", "x", "--db", "gone/missing.db"), 1, "there is no database"),
    (("verify", "--db", "missing.db"), 1, "there is no database missing.db"),
    (("list", "--db", "text.txt"), 1, "text.txt is no database of sessions"),
    (("list", "--db", "empty.db"), 1, "empty.db is no database of sessions"),
    (("list", "--db", "other.db"), 1, "other.db is no database of sessions"),
    (("load", "text.txt", "--db", "other.db"), 1, "no sessions are in it"),
    (("list", "--db", "broken.db"), 1, "broken.db"),
    (("list", "--db", "."), 1, "is a directory"),
    (("list", "--db", "sqlite://"), 1, "a database in memory"),
    (("list", "--db", "oracle://u:secret@h/x"), 2, "databases are not supported"),
    (("list", "--db", "no url://"), 2, "is no database URL"),
    (("show", "missing"), 1, "there is no session 'missing'; 'session-core list' shows those there are"),
    (("show", "trip-42", "--user", "ben"), 1, "there is no session 'trip-42' of user 'ben'"),
    (("show", "trip-42", "--tenant", "other"), 1, "there is no session 'trip-42'"),
    (("show", "trip\x1b[31m"), 2, "SESSION: 'trip\\x1b[31m' holds a control character"),
    (("show", "trip\u202e"), 1, "there is no session"),
    (("list", "--before", "xx"), 2, "--before: 'xx' is no cursor"),
    (("list", "--status", "asleep"), 2, "--status: 'asleep' is not known"),
    (("list", "--meta", "kind"), 2, "write --meta name=value"),
    (("list", "-n", "0"), 2, "--limit"),
    (("search", ""), 2, "QUERY: "),
    (("search",), 2, "QUERY"),
    (("search", "x", "--mode", "magic"), 2, "hybrid, keyword, semantic"),
    (("search", "x", "--since", "soon"), 2, "write 2026-05-04"),
    (("search", "x", "--role", "bard"), 2, "--role: 'bard'"),
    (("list", "--user", ""), 2, "--user: "),
    (("tail", "missing"), 1, "there is no session"),
    (("tasks", "missing"), 1, "there is no session"),
    (("files", "get", "trip-42", "../../etc/passwd"), 1, "has no file '../../etc/passwd'; 'session-core files list"),
    (("files", "get", "trip-42", "plan.md", "--version", "7"), 1, "has no file version 7 of 'plan.md'"),
    (("files", "get", "trip-42", "plan.md", "-o", "text.txt"), 1, "--force writes over it"),
    (("files", "get", "trip-42", "plan.md", "-o", "gone/x"), 1, "its folder is not there"),
    (("files", "get", "trip-42", "plan.md", "-o", "."), 1, "is a directory"),
    (("files", "put", "trip-42", "missing.md"), 1, "missing.md: No such file"),
    (("files", "put", "trip-42", "."), 1, "it is a directory"),
    (("files", "put", "trip-42", "-"), 1, "give one with --name"),
    (("files", "put", "bike", "text.txt"), 1, "is closed"),
    (("export", "missing"), 1, "there is no session 'missing'"),
    (("export", "-o", "text.txt"), 1, "--force writes over it"),
    (("load", "missing.jsonl"), 1, "missing.jsonl: it is not there"),
    (("load", "."), 1, "it is a directory"),
    (("load", "text.txt", "--db", "new.db"), 1, "no sessions are in it (line 1: not JSON"),
    (("load", "newer.jsonl", "--db", "new.db"), 1, "is newer than"),
    (("sweep", "--archive-after", "long"), 2, "write 90s, 15m, 12h, 30d or 2w"),
    (("delete", "missing", "--yes"), 1, "there is no session 'missing'"),
    (("delete", "trip-42", "missing", "--yes"), 1, "there is no session 'missing'"),
    (("verify", "--user", "ana"), 2, "--user"),
    (("dance",), 2, "dance"),
)


@pytest.mark.parametrize(("arguments", "code", "words"), MISTAKES, ids=lambda value: str(value)[:60])
def test_a_mistake_is_told(
    run: Run, filled: Path, folder: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """A mistake is told on stderr in words that help, with an exit code of 1 or 2; nothing is made or changed."""
    (folder / "text.txt").write_text("This is no database, and no export.\n")
    (folder / "empty.db").touch()
    (folder / "newer.jsonl").write_text('{"type":"header","format":"agent-session-core","version":99}\n')
    with closing(sqlite3.connect(folder / "other.db")) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    (folder / "broken.db").write_bytes((folder / "other.db").read_bytes()[:50] + b"\xff" * 3_000)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".db-lock"}
    done = run(*arguments, code=code, columns=200)
    assert words in done.stderr
    assert "Traceback" not in done.output
    assert "secret" not in done.output
    assert "\x1b" not in done.output
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".db" or path.name in before}
    assert after.keys() <= before.keys()
    assert all(after[name] == before[name] for name in after if name != "sessions.db")
