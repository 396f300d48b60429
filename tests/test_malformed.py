"""Two thousand malformed requests, the same in every run, without a single 5xx."""

import random
import socket
from collections import Counter
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.malformed import malformed

REQUESTS = 2000


@pytest.fixture
def answers(base_url: str, alice: str, client: httpx.Client) -> Counter[int]:
    """The number of responses with each status."""
    task_id = client.post(f"/api/{alice}/tasks", json={"title": "Buy milk"}).json()["id"]
    host, port = urlsplit(base_url).hostname, urlsplit(base_url).port
    dice = random.Random(2026)
    seen: Counter[int] = Counter()
    for _ in range(REQUESTS):
        with closing(socket.create_connection((host, port), timeout=10)) as connection:
            connection.sendall(malformed(dice, alice, task_id))
            head = connection.recv(4096)
        seen[int(head.split(b" ")[1])] += 1
    return seen


def test_every_malformed_request_gets_a_response_and_none_is_a_5xx(answers: Counter[int]) -> None:
    assert answers.total() == REQUESTS
    assert not [status for status in answers if status >= 500]
    # The requests reached every stage: some succeeded, and each check refused some.
    assert {200, 201, 400, 401, 403, 404, 405} <= set(answers)
