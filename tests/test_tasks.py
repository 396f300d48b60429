from typing import Any

import httpx


def test_a_created_task_is_answered_whole(client: httpx.Client, alice: str) -> None:
    response = client.post(
        f"/api/{alice}/tasks", json={"title": " Buy milk ", "description": "2 l"}
    )
    task: dict[str, Any] = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/{alice}/tasks/{task['id']}"
    assert task == {
        "id": task["id"],
        "user_id": alice,
        "title": "Milk",
        "description": "2 l",
        "completed": False,
        "created_at": task["created_at"],
        "updated_at": task["created_at"],
    }
