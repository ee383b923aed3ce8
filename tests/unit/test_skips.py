"""What a run of the tests says of those it left out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_skips_take_a_line_for_each_reason() -> None:
    """Without a server, the tests that need one are counted in one line, whatever their number."""
    environment = {name: value for name, value in os.environ.items() if name not in {"POSTGRES_URL", "CI"}}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/services/test_postgres.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    (told,) = re.findall(
        r"^(\d+) skipped: POSTGRES_URL is unset: name a running service in it$", done.stdout, re.MULTILINE
    )
    assert int(told) > 1
    assert f"{told} skipped in" in done.stdout
    assert len(done.stdout.splitlines()) < 10
