"""The users in the database, and their tokens."""

import time
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path

from jose import jwt

TOKEN_LIFE = 24 * 3600  # seconds


@dataclass(frozen=True)
class Population:
    """`users` people of `tasks` tasks each, whose rows lie scattered, as over time."""

    users: int
    tasks: int
    name: str = "user"
    start: int = 0  # the id before that of the first task

    def user_id(self, person: int) -> str:
        """The id of the n-th person, from 1 on: 32 characters, as Better Auth's are."""
        return md5(f"{self.name}{person}".encode()).hexdigest()

    def task_id(self, person: int, task: int) -> int:
        """The id of the n-th task of a person, both from 1 on."""
        return self.start + (task - 1) * self.users + person

    def sample(self, count: int) -> list[int]:
        """`count` people at most, evenly spread."""
        return list(range(1, self.users + 1, max(1, self.users // count)))[:count]

    def seed(self) -> dict[str, object]:
        """The values for the statement that writes the rows."""
        return {
            "users": self.users,
            "tasks": self.tasks,
            "start": self.start,
            "person": f"md5('{self.name}' || person)",
        }

    def write_tokens(self, path: Path, count: int, secret: str) -> None:
        """Writes a line `user_id first_task_id token` for each of `count` people."""
        path.write_text(
            "".join(
                f"{self.user_id(person)} {self.task_id(person, 1)}"
                f" {token(self.user_id(person), secret)}\n"
                for person in self.sample(count)
            )
        )


def token(user_id: str, secret: str) -> str:
    """A token as the service expects it."""
    now = int(time.time())
    claims = {"sub": user_id, "iat": now, "exp": now + TOKEN_LIFE}
    return jwt.encode(claims, secret, algorithm="HS256")
