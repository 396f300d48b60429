"""The users in the database, and their tokens."""

import time
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path

from jose import jwt

TOKEN_LIFE = 24 * 3600  # seconds


@dataclass(frozen=True)
class Population:
    """`users` users with `tasks` tasks each. Their rows are scattered, as if made over time."""

    users: int
    tasks: int
    name: str = "user"
    start: int = 0  # the first task has the next id

    def user_id(self, person: int) -> str:
        """Return the id of the n-th user, from 1 on. It has 32 characters, like Better Auth's."""
        return md5(f"{self.name}{person}".encode()).hexdigest()

    def task_id(self, person: int, task: int) -> int:
        """Return the id of a user's n-th task. Users and tasks count from 1."""
        return self.start + (task - 1) * self.users + person

    def sample(self, count: int) -> list[int]:
        """Return at most `count` users, evenly spread."""
        return list(range(1, self.users + 1, max(1, self.users // count)))[:count]

    def seed(self) -> dict[str, object]:
        """Return the values for the statement that writes the rows."""
        return {
            "users": self.users,
            "tasks": self.tasks,
            "start": self.start,
            "person": f"md5('{self.name}' || person)",
        }

    def write_tokens(self, path: Path, count: int, secret: str) -> None:
        """Write a line `user_id first_task_id token` for each of `count` users."""
        path.write_text(
            "".join(
                f"{self.user_id(person)} {self.task_id(person, 1)}"
                f" {token(self.user_id(person), secret)}\n"
                for person in self.sample(count)
            )
        )


def token(user_id: str, secret: str) -> str:
    """Return a valid token of the user."""
    now = int(time.time())
    claims = {"sub": user_id, "iat": now, "exp": now + TOKEN_LIFE}
    return jwt.encode(claims, secret, algorithm="HS256")
