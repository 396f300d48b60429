"""Whose tasks a user may see and change, and which origins may read responses."""

from tests.mutations.mutation import Mutation

FOREIGN = ("test_the_task_of_another_user_is_forbidden",)

OWNERSHIP = [
    Mutation(
        "get-ignores-the-owner",
        "A user could read any task by its id.",
        "select(*FIELDS).where(*OWN_TASK)",
        "select(*FIELDS).where(OWN_TASK[0])",
        FOREIGN,
    ),
    Mutation(
        "update-ignores-the-owner",
        "A user could change any task.",
        ".where(*OWN_TASK)\n    .values(",
        ".where(OWN_TASK[0])\n    .values(",
        FOREIGN,
    ),
    Mutation(
        "toggle-ignores-the-owner",
        "A user could complete any task.",
        ".where(*OWN_TASK).values(completed=",
        ".where(OWN_TASK[0]).values(completed=",
        FOREIGN,
    ),
    Mutation(
        "delete-ignores-the-owner",
        "A user could delete any task.",
        "delete(tasks).where(*OWN_TASK)",
        "delete(tasks).where(OWN_TASK[0])",
        FOREIGN,
    ),
    Mutation(
        "list-ignores-the-owner",
        "A user could read every task.",
        "select(*FIELDS).where(columns.user_id == USER_ID)",
        'select(*FIELDS).where(literal_column("true"))',
        ("test_any_user_id_has_tasks_of_its_own",),
    ),
    Mutation(
        "path-of-another-user-is-open",
        "A valid token would open the path of every user.",
        """raise Forbidden("the path is another user's")""",
        "pass",
        ("test_the_path_of_another_user_is_forbidden",),
    ),
    Mutation(
        "foreign-task-is-a-404",
        "The contract says 403 for a task that exists and belongs to another user.",
        """raise errors.Forbidden("the task is another user's")""",
        "pass",
        FOREIGN,
    ),
]

CORS = [
    Mutation(
        "cors-without-credentials",
        "Browsers would not show the frontend any response to a request with credentials.",
        "allow_credentials=True",
        "allow_credentials=False",
        ("test_every_answer_is_readable_for_the_allowed_origin_alone",),
    ),
    Mutation(
        "cors-for-every-origin",
        "Every website could read a user's tasks.",
        "allow_origins=allow_origins",
        'allow_origins=("*",)',
        ("test_every_answer_is_readable_for_the_allowed_origin_alone",),
    ),
    Mutation(
        "cors-of-refusals-for-every-origin",
        "Responses that bypass the middleware would be readable for every website.",
        "if self.is_allowed_origin(origin):",
        "if origin:",
        ("test_a_frontend_may_read_what_never_became_a_request",),
    ),
]

MUTATIONS = [*OWNERSHIP, *CORS]
