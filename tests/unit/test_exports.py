"""The public face: what is exported, and that sync and async forms are the same but for the waiting."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import types
from typing import Any

import pytest

import agent_session_core
from agent_session_core import Session, SessionStore, models

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(agent_session_core.__path__, "agent_session_core.")
    if "migrations" not in module.name
)


def test_the_package_exports_its_public_names() -> None:
    """``__all__`` is sorted and is exactly what is there without an underscore, modules left out."""
    public = {
        name
        for name, value in vars(agent_session_core).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations"
    }
    assert agent_session_core.__all__ == sorted(agent_session_core.__all__)
    assert set(agent_session_core.__all__) == public


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is(name: str) -> None:
    """Each module has a docstring, and an ``__all__``, where it has one, that is sorted and true."""
    module = importlib.import_module(name)
    assert module.__doc__ or name.endswith(".sql")
    exported = getattr(module, "__all__", [])
    assert exported == sorted(exported, key=_constants_classes_functions)
    for exported_name in exported:
        assert hasattr(module, exported_name)


def _constants_classes_functions(name: str) -> tuple[bool, bool, str]:
    return not name.isupper(), name[0].islower(), name


def test_records_are_exported() -> None:
    """Every record that a caller meets can be imported from the top."""
    assert set(models.__all__) <= set(agent_session_core.__all__)


def _twins() -> list[tuple[type, str]]:
    return [
        (cls, name)
        for cls in (SessionStore, Session)
        for name in dir(cls)
        if not name.startswith("_") and hasattr(cls, f"a{name}")
    ]


WITHOUT_A_TWIN = {
    # no input or output, or what must come first
    SessionStore: {"bind", "for_user", "index_worker", "nodes", "open", "sweeper"},
    Session: {"tool_call", "turn"},  # contexts, entered either way
}


@pytest.mark.parametrize("cls", [SessionStore, Session])
def test_everything_with_input_or_output_has_an_async_form(cls: type) -> None:
    """A public method has a twin with the prefix ``a``, but for those named here."""
    methods = {name for name in dir(cls) if inspect.isroutine(getattr(cls, name)) and not name.startswith("_")}
    twins = {name for name in methods if f"a{name}" in methods}
    assert methods - twins - {f"a{name}" for name in twins} == WITHOUT_A_TWIN[cls]


@pytest.mark.parametrize(("cls", "name"), _twins())
def test_both_forms_take_and_give_the_same(cls: type, name: str) -> None:
    """The parameters, their kinds, types and defaults, and what comes back are the same."""
    plain, waiting = getattr(cls, name), getattr(cls, f"a{name}")
    sync, async_ = inspect.signature(plain), inspect.signature(waiting)
    assert sync.parameters == async_.parameters
    assert waiting.__doc__
    if inspect.isasyncgenfunction(waiting):
        assert async_.return_annotation == str(sync.return_annotation).replace("Iterator", "AsyncIterator")
    else:
        assert inspect.iscoroutinefunction(waiting)
        assert sync.return_annotation == async_.return_annotation


RECORDS = [name for name in models.__all__ if dataclasses.is_dataclass(getattr(models, name))]


@pytest.mark.parametrize("name", RECORDS)
def test_records_cannot_be_changed(name: str) -> None:
    """Records are frozen and take no further attributes."""
    record: Any = getattr(models, name)
    assert record.__dataclass_params__.frozen
    assert "__slots__" in vars(record)
