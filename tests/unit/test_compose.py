"""What is offered to run the servers with Docker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file, parsed."""
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return parsed


def test_it_names_the_servers_and_their_versions(compose: dict[str, Any]) -> None:
    """PostgreSQL and Elasticsearch by default, Kibana when asked for; the Elasticsearch is the one tested against."""
    images = {name: service["image"].rpartition(":") for name, service in compose["services"].items()}
    assert all(re.fullmatch(r"\d+\.\d+(\.\d+)?", version) for _, _, version in images.values())
    always = {name for name, service in compose["services"].items() if "profiles" not in service}
    assert always == {"postgres", "elasticsearch"}
    assert {images[name][0] for name in always} == {"postgres", "docker.elastic.co/elasticsearch/elasticsearch"}
    assert compose["services"]["kibana"]["profiles"] == ["kibana"]
    tested = re.search(r"9\) version=(\S+)", (ROOT / "tests/services/elasticsearch/node").read_text(encoding="utf-8"))
    assert tested is not None
    assert {version for name, (_, _, version) in images.items() if name != "postgres"} == {tested[1]}


def test_it_is_for_this_machine_alone_and_keeps_what_it_has(compose: dict[str, Any]) -> None:
    """Each port is the loopback's; no password stands in the file; what holds data has a volume and a health check."""
    services = compose["services"]
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service.get("ports", []))
    for service in services.values():
        for variable, value in service.get("environment", {}).items():
            assert "PASSWORD" not in variable or re.fullmatch(r"\$\{\w+_PASSWORD:[?-].*\}", value)
    for name in ("postgres", "elasticsearch"):
        assert services[name]["healthcheck"]["test"]
        (volume,) = services[name]["volumes"]
        assert volume.split(":")[0] in compose["volumes"]
