"""Users see and change only their own tasks, and only allowed origins may read responses."""

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
        "A DELETE of the collection without a status would erase all data of a user.",
        '            examples=["completed"],\n        ),\n    ]\n',
        '            examples=["completed"],\n        ),\n    ] = "all"\n',
        ("test_a_request_that_may_be_a_mistake_deletes_nothing",),
    ),
    Mutation(
        "clearing-ignores-the-owner",
        "A user could delete every task.",
        'own = f"user_id = %(user_id)s{condition}"',
        'own = f"true{condition}"',
        ("test_only_the_chosen_tasks_of_one_user_are_deleted",),
    ),
    Mutation(
        "stats-ignore-the-owner",
        "A user would read how many tasks all users have.",
        "counted.where(columns.user_id == USER_ID, FILTERS[status])",
        "counted.where(FILTERS[status])",
        ("test_only_the_tasks_of_the_user_are_counted",),
    ),
    Mutation(
        "stats-is-an-id",
        "DELETE /tasks/stats would get a 400 for a malformed id instead of a 405.",
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
        "conditions = [columns.user_id == USER_ID]",
        'conditions = [literal_column("true")]',
        ("test_a_user_id_may_be_any_text",),
    ),
    Mutation(
        "path-of-another-user-is-open",
        "A valid token would give access to the paths of all users.",
        """raise Forbidden("the path is another user's")""",
        "pass",
        ("test_the_path_of_another_user_is_forbidden",),
    ),
    Mutation(
        "foreign-task-is-a-404",
        "The response would be a 404, but the contract says 403 for another user's task.",
        """raise errors.Forbidden("the task is another user's")""",
        "pass",
        FOREIGN,
    ),
]

CORS = [
    Mutation(
        "cors-without-credentials",
        "The frontend could not read the response to any request with credentials.",
        "allow_credentials=True",
        "allow_credentials=False",
        ("test_only_pages_of_the_allowed_origin_may_read_responses",),
    ),
    Mutation(
        "cors-for-every-origin",
        "Every website could read a user's tasks.",
        "allow_origins=allow_origins",
        'allow_origins=("*",)',
        ("test_only_pages_of_the_allowed_origin_may_read_responses",),
    ),
    Mutation(
        "cors-of-refusals-for-every-origin",
        "Every website could read responses that bypass the middleware.",
        "if self.is_allowed_origin(origin):",
        "if origin:",
        ("test_an_allowed_page_may_read_errors_about_malformed_requests",),
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
        "A dot in the pattern would match any character, and so domains that anyone can register.",
        r're.escape(text).replace(r"\*", _ANY_TEXT)',
        'text.replace("*", _ANY_TEXT)',
        ("test_a_pattern_allows_only_hosts_that_match_it",),
    ),
    Mutation(
        "origin-pattern-may-be-a-whole-label",
        "Every host of a domain could read tasks, even forgotten hosts and those that others run.",
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
        "Every website could find out that the service exists.",
        'for name in ("content-type", "content-length", "access-control-allow-private-network"):',
        'for name in ("content-type", "content-length"):',
        ("test_a_public_page_of_an_allowed_origin_may_call_a_service_in_a_private_network",),
    ),
    Mutation(
        "refused-origins-fill-the-log",
        "A client that makes up origins could fill the disk.",
        "if text in self._logged or len(self._logged) >= MAX_LINES:",
        "if text in self._logged:",
        ("test_only_the_first_of_many_refused_origins_are_logged_in_an_interval",),
    ),
]

MUTATIONS = [*OWNERSHIP, *CORS]
