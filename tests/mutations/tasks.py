"""The fields of a task, changes to it, lists, conditions and idempotency keys."""

from tests.mutations.mutation import Mutation

FIELDS = [
    Mutation(
        "title-is-not-trimmed",
        "Titles that look the same would differ.",
        "strict=True, strip_whitespace=True",
        "strict=True, strip_whitespace=False",
        ("test_an_updated_title_is_trimmed",),
    ),
    Mutation(
        "title-of-201-characters",
        "Postgres would refuse the title, and the client would get a 500.",
        "max_length=TITLE_LENGTH, pattern=NOT_BLANK",
        "max_length=TITLE_LENGTH + 1, pattern=NOT_BLANK",
        ("test_a_title_that_breaks_a_rule_is_refused",),
    ),
    Mutation(
        "change-at-the-same-time",
        "Two versions of a task would have one ETag, and an update would be lost.",
        'updated_at + interval \'1 microsecond\'); END $$"""\n    )',
        'updated_at); END $$"""\n    )',
        ("test_updated_at_increases_even_if_the_clock_was_set_back",),
    ),
    Mutation(
        "toggle-reads-before-it-writes",
        "One of two simultaneous toggles would be lost.",
        "completed=~columns.completed",
        'completed=(lambda seen: select(~seen.c.completed).where(seen.c.id == bindparam("task_id"))'
        ".scalar_subquery())(tasks.alias())",
        ("test_no_concurrent_toggle_is_lost",),
    ),
    Mutation(
        "completion-is-toggled-against-the-body",
        "A client that sends `completed` twice would undo it.",
        "if completion.completed is MISSING:",
        "if True:",
        ("test_setting_completed_to_its_current_value_changes_nothing",),
    ),
    Mutation(
        "completion-that-is-set-already-is-a-change",
        "The client's ETag would be outdated although nothing has changed.",
        "(columns.completed != _sent(columns.completed), NEXT_UPDATE)",
        "(columns.completed == columns.completed, NEXT_UPDATE)",
        ("test_setting_completed_to_its_current_value_changes_nothing",),
    ),
    Mutation(
        "compressed-body-is-read",
        "The client would be told that its JSON is malformed.",
        'if coding.lower() not in ("", "identity")]',
        "if False]",
        ("test_a_compressed_body_is_a_415_that_names_the_coding",),
    ),
]

CONDITIONS = [
    Mutation(
        "if-match-is-ignored",
        "An editor would overwrite what another editor saved.",
        "statement.where(is_current)",
        "statement",
        ("test_the_second_of_two_editors_gets_a_412",),
    ),
    Mutation(
        "if-match-is-ignored-without-changes",
        "The client would believe that its old version is the current one.",
        "if if_match is not None and unchanged.etag not in if_match:",
        "if False:",
        ("test_a_condition_is_checked_by_the_same_statement",),
    ),
    Mutation(
        "if-match-takes-other-forms-of-a-time",
        "RFC 9110, section 8.8.3.2: a strong comparison is by character.",
        "return f\"{moment.isoformat(timespec='microseconds')}Z\" == text",
        "return True",
        ("test_another_format_of_the_same_time_does_not_match",),
    ),
    Mutation(
        "if-match-takes-weak-tags",
        "RFC 9110, section 13.1.1: If-Match needs a strong comparison.",
        'return None if tags == ["*"] else frozenset(tags)',
        'return None if tags == ["*"] else frozenset(tag.removeprefix("W/") for tag in tags)',
        ("test_an_etag_that_a_proxy_changed_does_not_match_and_the_error_says_so",),
    ),
    Mutation(
        "if-none-match-is-turned-round",
        "The client would keep an old version.",
        'not if_none_match.isdisjoint(("*", task.etag))',
        'if_none_match.isdisjoint(("*", task.etag))',
        ("test_after_a_change_the_clients_etag_no_longer_matches",),
    ),
]

KEYS = [
    Mutation(
        "key-is-good-for-another-body",
        "The client would get an earlier task instead of the one that it sent.",
        "if not same:",
        "if False:",
        ("test_the_same_key_with_another_body_is_refused",),
    ),
    Mutation(
        "key-claims-nothing",
        "A create that is sent again would create a second task.",
        "FROM next JOIN claim ON id = task_id",
        "FROM next JOIN claim ON true",
        ("test_a_replay_returns_the_task_in_its_current_state",),
    ),
    Mutation(
        "key-is-kept-for-a-minute",
        "A client that was offline for over a minute would create a second task.",
        "kept.created_at > interval '24 hours'",
        "kept.created_at > interval '1 minute'",
        ("test_a_key_can_be_used_again_after_24_hours",),
    ),
    Mutation(
        "keys-are-deleted-after-a-minute",
        "A client that was offline for over a minute would create a second task.",
        "now() - interval '24 hours'",
        "now() - interval '1 minute'",
        ("test_expired_keys_of_any_user_are_deleted_when_a_key_arrives",),
    ),
    Mutation(
        "expired-keys-are-kept",
        "The table of keys would grow forever.",
        "request.app.state.expired_keys.key_arrived()",
        "pass",
        ("test_expired_keys_of_any_user_are_deleted_when_a_key_arrives",),
    ),
]

DELETIONS = [
    Mutation(
        "deletions-lock-in-any-order",
        "Two deletions of one user could wait for each other until Postgres aborts one.",
        "LIMIT (SELECT {BATCH}) FOR UPDATE\n), deleted",
        "LIMIT (SELECT {BATCH})\n), deleted",
        ("test_deletions_with_different_plans_lock_tasks_in_the_same_order",),
    ),
    Mutation(
        "reopened-task-is-cleared",
        "A task that is reopened while completed tasks are being cleared would be lost.",
        "DELETE FROM tasks WHERE {own} AND (created_at, id)",
        "DELETE FROM tasks WHERE user_id = %(user_id)s AND (created_at, id)",
        ("test_a_task_that_is_reopened_during_the_deletion_is_kept",),
    ),
    Mutation(
        "deletion-ends-with-the-first-batch",
        "The tasks of a deleted account would stay.",
        "if not has_more:",
        "if True:",
        ("test_more_tasks_than_fit_one_batch_are_deleted_and_counted",),
    ),
    Mutation(
        "deletion-does-not-say-what-it-did",
        "A client would believe that nothing was deleted.",
        "raise _interrupted(response, self._deleted) from error",
        "raise",
        ("test_the_error_says_how_many_tasks_were_deleted_before_a_failure",),
    ),
    Mutation(
        "deletion-keeps-its-slot",
        "Other users would wait until every batch is deleted.",
        "deleted, has_more = await delete_batch(self._session, self._user_id, self._status)",
        "deleted, has_more = 0, True\n"
        "            while has_more:\n"
        "                done, has_more = await delete_batch(\n"
        "                    self._session, self._user_id, self._status\n"
        "                )\n"
        "                deleted += done",
        ("test_other_users_requests_run_between_the_batches",),
    ),
]

LISTS = [
    Mutation(
        "search-takes-a-percent-sign-for-anything",
        "A search for `100%` would find tasks that do not contain it.",
        'return f"%{q.translate(_LITERAL)}%"',
        'return f"%{q}%"',
        ("test_no_character_has_a_special_meaning",),
    ),
    Mutation(
        "search-knows-two-forms-of-sigma",
        "A Greek word in capital letters would not be found.",
        "func.upper(func.lower(text))",
        "func.lower(text)",
        ("test_a_task_that_contains_q_is_found_whatever_its_case",),
    ),
    Mutation(
        "search-decodes-what-is-not-utf-8",
        "A client would search for characters that it did not mean.",
        'if "q" in query.model_fields_set:',
        "if False:",
        ("test_an_invalid_q_is_refused",),
    ),
    Mutation(
        "unknown-parameter-is-ignored",
        "A client that sends `page=2` would always get the first page.",
        "if name in TOLERATED:",
        "if True:",
        ("test_the_list_names_an_unknown_parameter",),
    ),
    Mutation(
        "one-of-two-values-is-chosen",
        "The client might get a list that it did not mean.",
        "if len(sent.getlist(name)) > 1",
        "if False",
        ("test_a_parameter_that_is_sent_twice_is_refused",),
    ),
    Mutation(
        "page-repeats-a-task",
        "The last task of a page would also be the first task of the next page.",
        'here > there if order == "asc" else here < there',
        'here >= there if order == "asc" else here <= there',
        ("test_the_default_order_is_newest_first_and_for_titles_a_to_z",),
    ),
    Mutation(
        "page-skips-a-tie",
        "Tasks with equal titles would be skipped at the end of a page.",
        'tuple_(key, columns.id), tuple_(position, bindparam("id"))',
        "key, position",
        ("test_the_pages_together_are_the_whole_list_in_order",),
    ),
    Mutation(
        "cursor-of-another-order",
        "The client would get pages in no consistent order.",
        "if (sort, direction) != (query.sort, query.direction):",
        "if False:",
        ("test_a_cursor_is_valid_only_for_its_sort_and_order",),
    ),
    Mutation(
        "half-a-list-for-all-of-it",
        "The client would believe that half of the tasks are the whole list.",
        "            tasks, following = await read_page(session, user_id, query, following, size)",
        "            tasks, last, following = [], following, None\n"
        '            with __import__("contextlib").suppress(Exception):\n'
        "                tasks, following = await read_page(session, user_id, query, last, size)",
        ("test_a_whole_list_whose_later_page_fails_is_cut_off",),
    ),
]

MUTATIONS = [*FIELDS, *CONDITIONS, *KEYS, *DELETIONS, *LISTS]
