"""The memory of a large response that anyone can request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from memory import RESPONSE_PART
from serving.memory_budget import MemoryBudget


async def response_memory(request: Request) -> AsyncIterator[None]:
    """Hold memory of the budget while a large response is made; a dependency.

    Unread responses hold memory too. So a client waits until others have read theirs, and those
    that have stalled are cut off. Raises the errors of `MemoryBudget.acquire`.
    """
    memory: MemoryBudget | None = request.scope.get("state", {}).get("memory")
    if memory is None:  # a TestClient without `with` starts no lifespan
        yield
        return
    with await memory.acquire(request.scope.get("user_id", ""), RESPONSE_PART):
        yield


reserved_memory = asynccontextmanager(response_memory)
