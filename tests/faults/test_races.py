"""Many clients that use the same tasks at the same time, over HTTP."""

import asyncio
import random
from collections import Counter
from typing import Any

from tests.faults import report
from tests.faults.wire import Answer, Connection, request
from tests.support.processes import Service

ROUNDS = 60
SENSIBLE = {
    "POST": {201},
    "GET": {200, 404},
    "PUT": {200, 404},
    "PATCH": {200, 404},
    "DELETE": {204, 404},
}


class Client:
    """A user with its own connection."""

    def __init__(self, service: Service, user_id: str) -> None:
        self._connection = Connection(service.port)
        self._user_id = user_id
        self.tasks = f"/api/{user_id}/tasks"

    async def ask(self, method: str, tail: str = "", body: Any = None) -> Answer:
        text = request(method, self.tasks + tail, self._user_id, body)
        return await self._connection.ask(text)

    async def create(self, title: str) -> int:
        made = await self.ask("POST", body={"title": title})
        assert made.status == 201, made
        return int(made.json["id"])

    def close(self) -> None:
        self._connection.close()


def run(service: Service, user_id: str, count: int, work: Any) -> Any:
    """Run `work` with `count` clients of one user."""

    async def all_of_it() -> Any:
        clients = [Client(service, user_id) for _ in range(count)]
        try:
            return await work(clients)
        finally:
            for client in clients:
                client.close()

    return asyncio.run(all_of_it())


def test_concurrent_updates_of_different_fields_all_take_effect(service: Service) -> None:
    async def work(clients: list[Client]) -> int:
        path, held = f"/{await clients[0].create('Buy milk')}", 0
        for number in range(ROUNDS):
            wanted = {
                "title": f"t{number}",
                "description": f"d{number}",
                "completed": number % 2 > 0,
            }
            parts = zip(clients, wanted.items(), strict=True)
            answers = await asyncio.gather(
                *(client.ask("PUT", path, {name: value}) for client, (name, value) in parts)
            )
            assert {got.status for got in answers} == {200}
            task = (await clients[0].ask("GET", path)).json
            held += {name: task[name] for name in wanted} == wanted
        return held

    held = run(service, "dora", 3, work)
    report.remark(
        f"three clients each update a different field of one task, {ROUNDS} times",
        {"rounds with all three updates": held},
        "no update was lost",
    )
    assert held == ROUNDS


def test_pages_neither_skip_nor_repeat_unchanged_tasks(service: Service) -> None:
    """Meanwhile other clients create, rename and delete tasks. Every order is tried."""

    async def write(client: Client, done: asyncio.Event, dice: random.Random) -> int:
        writes = 0
        while not done.is_set():
            task_id = await client.create(f"staying {dice.randrange(50)}")
            await client.ask("PUT", f"/{task_id}", {"title": f"staying {dice.randrange(50)}"})
            await client.ask("DELETE", f"/{task_id}")
            writes += 3
        return writes

    async def read(client: Client, query: str) -> list[int]:
        seen: list[int] = []
        cursor = ""
        while cursor is not None:
            page = (await client.ask("GET", f"?limit=7{query}{cursor}")).json
            seen += [task["id"] for task in page["tasks"]]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        return seen

    async def work(clients: list[Client]) -> tuple[int, int, int, int]:
        reader, *writers = clients
        staying = [await reader.create(f"staying {number % 50}") for number in range(200)]
        done = asyncio.Event()
        writing = [
            asyncio.ensure_future(write(client, done, random.Random(number)))
            for number, client in enumerate(writers)
        ]
        skipped = repeated = lists = 0
        for sort in ("created", "title"):
            for order in ("asc", "desc"):
                for _ in range(5):
                    seen = Counter(await read(reader, f"&sort={sort}&order={order}"))
                    skipped += sum(seen[task_id] == 0 for task_id in staying)
                    repeated += sum(seen[task_id] > 1 for task_id in staying)
                    lists += 1
        done.set()
        return lists, sum(await asyncio.gather(*writing)), skipped, repeated

    lists, writes, skipped, repeated = run(service, "erin", 5, work)
    seen = {"lists read": lists, "writes meanwhile": writes, "skipped": skipped}
    report.remark(
        "200 tasks are read in pages of 7 while 4 clients write",
        seen | {"repeated": repeated},
        "no task was skipped or repeated",
    )
    assert (skipped, repeated) == (0, 0)
    assert writes > 100


def test_concurrent_operations_on_one_task_have_sensible_results(service: Service) -> None:
    async def one_round(clients: list[Client], dice: random.Random) -> Counter[str]:
        task_id = await clients[0].create("Buy milk")
        works: list[tuple[str, str, Any]] = [
            ("PUT", f"/{task_id}", {"title": "Milk"}),
            ("PATCH", f"/{task_id}/complete", None),
            ("GET", f"/{task_id}", None),
            ("DELETE", f"/{task_id}", None),
            ("DELETE", f"/{task_id}", None),
            ("POST", "", {"title": "Buy milk"}),
        ]
        dice.shuffle(works)
        pairs = list(zip(clients, works, strict=True))
        answers = await asyncio.gather(*(client.ask(*work) for client, work in pairs))
        seen: Counter[str] = Counter()
        for (_, (method, _, _)), got in zip(pairs, answers, strict=True):
            assert got.status in SENSIBLE[method], (method, got)
            seen[f"{method} {got.status}"] += 1
        assert seen["DELETE 204"] == seen["DELETE 404"] == 1
        assert (await clients[0].ask("GET", f"/{task_id}")).status == 404
        return seen

    async def work(clients: list[Client]) -> Counter[str]:
        dice = random.Random(4)
        seen: Counter[str] = Counter()
        for _ in range(ROUNDS):
            seen += await one_round(clients, dice)
        return seen

    seen = run(service, "fay", 6, work)
    report.remark(
        f"GET, PUT, PATCH and two DELETEs of one task at once, {ROUNDS} times",
        dict(sorted(seen.items())),
        "one DELETE succeeded each time",
    )


def test_no_concurrent_toggle_of_one_task_is_lost(service: Service) -> None:
    async def work(clients: list[Client]) -> bool:
        path = f"/{await clients[0].create('Buy milk')}"

        async def toggle(client: Client) -> None:
            for _ in range(15):
                assert (await client.ask("PATCH", f"{path}/complete")).status == 200

        await asyncio.gather(*(toggle(client) for client in clients))
        return bool((await clients[0].ask("GET", path)).json["completed"])

    completed = run(service, "gail", 21, work)
    report.remark(
        "21 clients toggle one task, 15 times each",
        {"completed at the end": completed},
        "no toggle was lost",
    )
    assert completed is True
