"""What is published works without the checkout."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent_session_core", "langchain_sessions", "llamaindex_sessions")
_USE = """
import sys
sys.path.insert(0, sys.argv[1])
import agent_session_core, langchain_sessions, llamaindex_sessions
for package in (agent_session_core, langchain_sessions, llamaindex_sessions):
    assert package.__file__.startswith(sys.argv[1]), package.__file__
with agent_session_core.SessionStore.open("sqlite:///wheel.db") as store:
    store.session("first").append(agent_session_core.Message.user("The wheel works."))
    print(store.search("wheel")[0].message.text)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as for publishing."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_three_packages_only(wheel: Path) -> None:
    """No package named ``shared`` or ``tests`` is put upon anybody, and types are published."""
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, it makes a database, stores a message and finds it: nothing was left behind."""
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    command = [sys.executable, "-I", "-c", _USE, str(unpacked)]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "The wheel works."


def test_constraints_are_names_and_versions() -> None:
    """The pins name no address, so that they hold wherever packages come from."""
    pin = re.compile(r'[a-z0-9-]+==[0-9a-z.]+(; python_version (<|>=) "3\.\d+")?')
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not pin.fullmatch(line)] == []
