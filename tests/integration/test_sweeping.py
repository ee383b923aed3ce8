"""Sweeps by several processes at once do each thing once."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from agent_session_core import Retention, SessionStore
from agent_session_core.sql.tables import sessions
from tests.integration import life_workers

DUE = 2_000


def test_each_session_is_swept_once(tmp_path: Path) -> None:
    """4 processes over 2,000 sessions that are due: each is expired and archived once, by one of them; none is left."""
    url = f"sqlite:///{tmp_path}/s.db"
    with SessionStore.open(url, index="off") as store:
        at = int(datetime.now(timezone.utc).timestamp() * 1e6)
        common = {"tenant": "default", "created_at": at, "updated_at": at, "idle_timeout": 1, "due_at": at}
        rows = [{**common, "session_id": f"s{number:05}"} for number in range(DUE)]
        store._database.write(lambda conn: int(conn.execute(sessions.insert(), rows).rowcount))
        store.session("fresh", idle_timeout=timedelta(days=1))
        done = subprocess.run(
            [sys.executable, life_workers.__file__, "sweep", url, "4"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        reports = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(reports) == 4
        expected = [row["session_id"] for row in rows]
        for what in ("expired", "archived"):
            assert sorted(name for report in reports for name in report[what]) == expected
        assert not any(report["deleted"] for report in reports)
        assert [session.id for session in store.sessions(status="active")] == ["fresh"]
        revisions = store._database.read(
            lambda conn: set(conn.execute(sessions.select().with_only_columns(sessions.c.revision)).scalars())
        )
        assert revisions == {0, 2}  # one change each for expiring and archiving, none for the fresh one


def test_a_background_sweeper_deletes_what_is_over(tmp_path: Path) -> None:
    """Expired, archived and deleted by retention, with the files and the index, while the service goes on."""
    retention = Retention(archive_after=timedelta(0), delete_after=timedelta(0))
    with SessionStore.open(f"sqlite:///{tmp_path}/s.db", retention=retention) as store:
        session = store.session("short", idle_timeout=timedelta(milliseconds=500))
        session.files.put("a.txt", b"the only canary")
        assert len(store.search("canary")) == 1
        with store.sweeper(timedelta(milliseconds=20)):
            while store.sessions():
                pass
        assert len(store.search("canary")) == 0
        assert store.verify().consistent
