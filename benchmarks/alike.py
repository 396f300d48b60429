"""Check that a contender's responses match those of the others, before a run begins.

A contender that left something out would be faster. Times are parsed but not compared, because they
have three digits or six, and each contender sets the time of a change itself.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from http.client import HTTPConnection
from typing import Any

from bench import Bench, say
from contenders import Contender
from instance import Instance
from population import Population, token

FIELDS = ("id", "user_id", "title", "description", "completed", "created_at", "updated_at")
NEW = {"title": "Water the plants", "description": "The ones on the balcony, too."}
REFUSED = (400, 422)


class Different(Exception):
    """A response differs from what is expected."""


class Client:
    """A client of one instance, as one user."""

    def __init__(self, instance: Instance, user: str, secret: str) -> None:
        self.connection = HTTPConnection("127.0.0.1", instance.port, timeout=10)
        self.user = user
        self.token = token(user, secret)

    def ask(
        self, method: str, rest: str = "", body: Any = None, user: str = "", auth: str = ""
    ) -> tuple[int, Any]:
        """Return the status and the body of the response to a call on the user's tasks."""
        headers = {"Authorization": f"Bearer {auth or self.token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        text = None if body is None else json.dumps(body)
        self.connection.request(method, f"/api/{user or self.user}/tasks{rest}", text, headers)
        response = self.connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content.startswith(b"{") else content


def check(bench: Bench, contender: Contender) -> None:
    """Exit with a message if a response differs from what is expected."""
    population = bench.options.population
    with bench.instance(contender) as instance:
        client = Client(instance, population.user_id(population.users), bench.secret)
        try:
            check_calls(client, population)
            check_refusals(client, population, contender.validates)
        except Different as error:
            raise SystemExit(
                f"{contender.title} does not respond as the others do: {error}"
            ) from None
    say(f"{contender.title}: responds as the others do")


def check_calls(client: Client, population: Population) -> None:
    """Check the calls, on seeded tasks and on a new one."""
    listed = expect(200, client.ask("GET", "?limit=100"))
    newest = [
        population.task_id(population.users, task)
        for task in range(population.tasks, max(0, population.tasks - 100), -1)
    ]
    same([task["id"] for task in listed["tasks"]], newest)
    same(listed["count"], len(newest))
    same(len(expect(200, client.ask("GET", "?limit=3"))["tasks"]), 3)
    check_search_and_stats(client, population)
    created = expect(201, client.ask("POST", body=NEW))
    path = f"/{created['id']}"
    is_task(created, NEW | {"user_id": client.user, "completed": False})
    same(expect(200, client.ask("GET", path)), created)
    same(expect(200, client.ask("GET", "?limit=1"))["tasks"], [created])
    change = {"title": "Water all the plants", "completed": True}
    updated = expect(200, client.ask("PUT", path, change))
    is_task(updated, created | change | {"updated_at": updated["updated_at"]})
    cleared = expect(200, client.ask("PUT", path, {"description": None}))
    is_task(cleared, {"description": None, "completed": True})
    is_task(expect(200, client.ask("PATCH", f"{path}/complete")), {"completed": False})
    expect(204, client.ask("DELETE", path))
    expect(404, client.ask("GET", path))


def check_search_and_stats(client: Client, population: Population) -> None:
    """Check searches of titles and descriptions, without wildcards, and the counts."""
    tasks = range(population.tasks, 0, -1)
    described = [task for task in tasks if task % 3]  # by SEED in postgres_server.py
    finds = {
        "TASK%207%20of": [7],
        "to%20KNOW": described,
        "to%20KNOW&limit=2": described[:2],
        **{text: [] for text in ("no%20such%20text", "%25", "_", "%5C")},
    }
    for query, wanted in finds.items():
        found = expect(200, client.ask("GET", f"?q={query}"))
        ids = [population.task_id(population.users, task) for task in wanted]
        same([task["id"] for task in found["tasks"]], ids)
        same(found["count"], len(ids))
    completed = population.tasks // 4
    counts = {"total": population.tasks, "pending": population.tasks - completed}
    same(expect(200, client.ask("GET", "/stats")), counts | {"completed": completed})


def check_refusals(client: Client, population: Population, validates: bool) -> None:
    """Check tokens, owners and, if the contender validates input, its rules."""
    first = f"/{population.task_id(1, 1)}"
    expect(401, client.ask("GET", auth=token(client.user, "x" * 43)))
    expect(401, client.ask("GET", auth="none"))
    for rest in ("", "?q=task", "/stats"):
        expect(403, client.ask("GET", rest, user=population.user_id(1)))
    for method, rest in (("GET", ""), ("PUT", ""), ("PATCH", "/complete"), ("DELETE", "")):
        body = {"completed": True} if method == "PUT" else None
        expect((403, 404), client.ask(method, first + rest, body))
    if validates:
        for wrong in ({"title": ""}, {"title": "x" * 201}, {"description": "no title"}):
            expect(REFUSED, client.ask("POST", body=wrong))
        mine = f"/{population.task_id(population.users, 1)}"
        expect(REFUSED, client.ask("PUT", mine, {"title": ""}))
        expect(REFUSED, client.ask("PUT", mine, {"completed": "perhaps"}))
        for wrong_query in ("?limit=0", "?q=", f"?q={'x' * 201}"):
            expect(REFUSED, client.ask("GET", wrong_query))


def expect(status: int | tuple[int, ...], response: tuple[int, Any]) -> Any:
    """Return the body of `response`. Raises Different if its status is not in `status`."""
    wanted = status if isinstance(status, tuple) else (status,)
    if response[0] not in wanted:
        raise Different(f"the status is {response[0]}, not {status}: {response[1]}")
    return response[1]


def is_task(task: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Check that all fields exist, times have a zone, and `wanted` matches."""
    same(set(task) >= set(FIELDS), True)
    times = [datetime.fromisoformat(task[name]) for name in ("created_at", "updated_at")]
    same([time.tzinfo is not None for time in times], [True, True])
    same({name: task[name] for name in wanted}, dict(wanted))


def same(found: Any, wanted: Any) -> None:
    """Raise Different unless the two are equal."""
    if found != wanted:
        raise Different(f"{found} instead of {wanted}")
