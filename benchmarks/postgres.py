"""Appends to PostgreSQL by 1, 8 and 32 async callers at once: this store, LlamaIndex's and LangChain's own stores.

    python benchmarks/postgres.py postgresql+psycopg://postgres@127.0.0.1/postgres
    python benchmarks/postgres.py URL --callers 1 8 --appends 200

Each caller has a session of its own and appends to it one message at a time. The contenders are LlamaIndex's
SQLAlchemyChatStore (asyncpg) and PostgresChatMessageHistory of langchain-postgres (one psycopg connection a caller, as
it takes no pool; `pip install langchain-postgres`). The floor is an INSERT of one row by asyncpg, in autocommit, on a
connection of each caller's own. Rounds are interleaved and the medians compared. Tables are made in a schema that is
dropped in the end.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from sqlalchemy import URL, create_engine, make_url

from agent_session_core import Message, SessionStore

TEXT = "We leave Lisbon on the fourth of May and come back on the eleventh, with the night train by way of Madrid. "
Append = Callable[[int], Awaitable[object]]


async def floor(stack: AsyncExitStack, url: URL, schema: str, callers: int) -> Append:
    """A row a message, on a connection of each caller's own."""
    import asyncpg

    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    connections = []
    for _ in range(callers):
        connections.append(await asyncpg.connect(plain, server_settings={"search_path": schema}))
        stack.push_async_callback(connections[-1].close)
    await connections[0].execute("CREATE TABLE IF NOT EXISTS floor (id bigserial PRIMARY KEY, payload text)")
    return lambda caller: connections[caller].execute("INSERT INTO floor (payload) VALUES ($1)", TEXT)


async def ours(stack: AsyncExitStack, url: URL, schema: str, callers: int) -> Append:
    """Sessions of one store, its async form in threads."""
    target = url.set(drivername="postgresql+psycopg").update_query_dict({"options": f"-csearch_path={schema}"})
    store = await stack.enter_async_context(SessionStore.open(target, index="off"))
    sessions = [await store.asession(f"caller {number}") for number in range(callers)]
    return lambda caller: sessions[caller].aappend(Message.user(TEXT))


async def ours_native(stack: AsyncExitStack, url: URL, schema: str, callers: int) -> Append:
    """The same, natively by psycopg."""
    target = url.set(drivername="postgresql+psycopg_async").update_query_dict({"options": f"-csearch_path={schema}"})
    store = await stack.enter_async_context(SessionStore.open(target, index="off"))
    sessions = [await store.asession(f"native {number}") for number in range(callers)]
    return lambda caller: sessions[caller].aappend(Message.user(TEXT))


async def llamaindex(stack: AsyncExitStack, url: URL, schema: str, _: int) -> Append:
    """SQLAlchemyChatStore, by asyncpg."""
    from llama_index.core.llms import ChatMessage
    from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore

    target = url.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    store = SQLAlchemyChatStore("llamaindex", async_database_uri=target, db_schema=schema)
    await store.add_message("warm", ChatMessage(role="user", content=TEXT))
    engine: Any = store._async_engine  # noqa: SLF001  # it has no way to close
    stack.push_async_callback(engine.dispose)
    return lambda caller: store.add_message(f"caller {caller}", ChatMessage(role="user", content=TEXT))


async def langchain(stack: AsyncExitStack, url: URL, schema: str, callers: int) -> Append:
    """PostgresChatMessageHistory, a connection and a history for each caller."""
    import psycopg
    from langchain_core.messages import HumanMessage
    from langchain_postgres import PostgresChatMessageHistory

    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    histories = []
    for number in range(callers):
        connection = await psycopg.AsyncConnection.connect(plain, options=f"-csearch_path={schema}")
        stack.push_async_callback(connection.close)
        if not number:
            await PostgresChatMessageHistory.acreate_tables(connection, "langchain")
        histories.append(PostgresChatMessageHistory("langchain", str(uuid.uuid4()), async_connection=connection))
    return lambda caller: histories[caller].aadd_messages([HumanMessage(TEXT)])


CONTENDERS: dict[str, Any] = {
    "floor": floor,
    "this store": ours,
    "natively": ours_native,
    "LlamaIndex": llamaindex,
    "LangChain": langchain,
}


async def seconds(append: Append, callers: int, appends: int) -> float:
    """How long the callers take, each with so many appends."""

    async def one(caller: int) -> None:
        for _ in range(appends):
            await append(caller)

    started = time.perf_counter()
    await asyncio.gather(*map(one, range(callers)))
    return time.perf_counter() - started


async def measure(url: URL, schema: str, callers: int, appends: int, rounds: int) -> dict[str, float]:
    """Appends a second of each contender, the median of its rounds."""
    each = max(4, appends // callers)
    async with AsyncExitStack() as stack:
        contenders = {name: await make(stack, url, schema, callers) for name, make in CONTENDERS.items()}
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds + 1):
            for name, append in contenders.items():
                rates[name].append(callers * each / await seconds(append, callers, each))
    return {name: statistics.median(found[1:]) for name, found in rates.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--appends", type=int, default=400, help="of each contender and round, all callers together")
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    url = make_url(asked.url)
    schema = f"benchmark_{uuid.uuid4().hex[:8]}"
    server = create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with server.connect() as conn:
        conn.exec_driver_sql(f"CREATE SCHEMA {schema}")
        try:
            print(f"{'callers':>8}" + "".join(f"{name:>14}" for name in CONTENDERS) + "   (rate; the floor: appends/s)")
            for callers in asked.callers:
                found = asyncio.run(measure(url, schema, callers, asked.appends, asked.rounds))
                shown = [f"{found['floor']:>14,.0f}"]
                shown += [f"{rate / found['floor']:>14.2f}" for name, rate in found.items() if name != "floor"]
                print(f"{callers:>8}" + "".join(shown))
        finally:
            conn.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
    server.dispose()


if __name__ == "__main__":
    main()
