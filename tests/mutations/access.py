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
        ".where(*OWN_TASK)\n    .values({",
        ".where(OWN_TASK[0])\n    .values({",
        FOREIGN,
    ),
    Mutation(
        "completion-ignores-the-owner",
        "A user could complete any task.",
        ".where(*OWN_TASK)\n    .values(\n",
        ".where(OWN_TASK[0])\n    .values(\n",
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
        "empty-id-deletes-all",
        "A client that sends an empty id would delete more than one task.",
        'return "DELETE" not in (self.methods or ()) or self.path.endswith("}")',
        "return True",
        ("test_a_trailing_slash_does_not_turn_a_delete_into_one_of_the_collection",),
    ),
    Mutation(
        "clearing-has-a-default",
        "A DELETE of the collection without a status would erase a user.",
        '            examples=["completed"],\n        ),\n    ]\n',
        '            examples=["completed"],\n        ),\n    ] = "all"\n',
        ("test_an_accident_deletes_nothing",),
    ),
    Mutation(
        "clearing-ignores-the-owner",
        "A user could delete every task.",
        'own = f"user_id = %(user_id)s{condition}"',
        'own = f"true{condition}"',
        ("test_these_tasks_of_this_user_are_deleted",),
    ),
    Mutation(
        "stats-ignore-the-owner",
        "A user would read how many tasks all users have.",
        "counted.where(columns.user_id == USER_ID, FILTERS[status])",
        "counted.where(FILTERS[status])",
        ("test_the_tasks_of_the_user_are_counted",),
    ),
    Mutation(
        "stats-is-an-id",
        "A DELETE of the numbers would be refused as one of a task with a wrong id.",
        'regex = "(?!stats/?$)[^/]+"',
        'regex = "[^/]+"',
        ("test_stats_can_only_be_read",),
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
        ("test_a_user_id_may_be_any_text",),
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
    Mutation(
        "origin-pattern-crosses-a-dot",
        "A page of https://app-x.evil.com, or of a subdomain that others run, could read tasks.",
        '_ANY_TEXT = "[a-z0-9-]{1,63}"',
        '_ANY_TEXT = "[a-z0-9.-]{1,63}"',
        ("test_a_pattern_allows_only_hosts_that_match_it",),
    ),
    Mutation(
        "origin-pattern-is-not-escaped",
        "A dot of the pattern would match any character, such as that of a registrable name.",
        r're.escape(text).replace(r"\*", _ANY_TEXT)',
        'text.replace("*", _ANY_TEXT)',
        ("test_a_pattern_allows_only_hosts_that_match_it",),
    ),
    Mutation(
        "origin-pattern-may-be-a-whole-label",
        "Each host of a domain could read tasks, forgotten ones and those that others run too.",
        'form["label"].strip("-") != "*"',
        'form["label"]',
        ("test_an_origin_that_allows_too_much_or_nothing_is_refused",),
    ),
    Mutation(
        "local-ports-in-production",
        "Any program on a user's machine that serves a page could read the user's tasks.",
        'is_development = self.environment == "development"',
        "is_development = True",
        ("test_development_also_allows_every_local_port",),
    ),
    Mutation(
        "private-network-for-every-origin",
        "Every website could find out that the service is there.",
        'for name in ("content-type", "content-length", "access-control-allow-private-network"):',
        'for name in ("content-type", "content-length"):',
        ("test_a_page_of_a_public_network_may_call_a_private_one_if_its_origin_is_allowed",),
    ),
    Mutation(
        "refused-origins-fill-the-log",
        "A client that invents origins could fill the disk.",
        "if text in self._logged or len(self._logged) >= MAX_LINES:",
        "if text in self._logged:",
        ("test_a_flood_of_origins_is_logged_in_part_and_again_later",),
    ),
]

MUTATIONS = [*OWNERSHIP, *CORS]
