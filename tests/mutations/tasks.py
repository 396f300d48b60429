"""What a task may hold, how it changes, and how lists, conditions and keys work."""

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
        "Postgres would refuse it, and the client would see a 500.",
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
        "Of two toggles at once one would be lost.",
        "completed=~columns.completed",
        'completed=(lambda seen: select(~seen.c.completed).where(seen.c.id == bindparam("task_id"))'
        ".scalar_subquery())(tasks.alias())",
        ("test_concurrent_toggles_leave_the_parity_of_their_number",),
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
        "The ETag of a client would be old although nothing has changed.",
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
        "The client would take its old version for the current one.",
        "if if_match is not None and unchanged.etag not in if_match:",
        "if False:",
        ("test_a_condition_is_part_of_the_one_statement",),
    ),
    Mutation(
        "if-match-takes-other-forms-of-a-time",
        "RFC 9110, section 8.8.3.2: a strong comparison is by character.",
        "return f\"{moment.isoformat(timespec='microseconds')}Z\" == time",
        "return True",
        ("test_another_form_of_the_same_time_does_not_match",),
    ),
    Mutation(
        "if-match-takes-weak-tags",
        "RFC 9110, section 13.1.1: If-Match needs a strong comparison.",
        'return None if tags == ["*"] else frozenset(tags)',
        'return None if tags == ["*"] else frozenset(tag.removeprefix("W/") for tag in tags)',
        ("test_a_tag_that_a_proxy_changed_does_not_match_and_the_error_says_so",),
    ),
    Mutation(
        "if-none-match-is-turned-round",
        "The client would keep an old version.",
        'not if_none_match.isdisjoint(("*", task.etag))',
        'if_none_match.isdisjoint(("*", task.etag))',
        ("test_a_change_makes_what_the_caller_has_old",),
    ),
]

KEYS = [
    Mutation(
        "key-is-good-for-another-body",
        "The client would be told that another task is the one that it sent.",
        "if not same:",
        "if False:",
        ("test_the_same_key_with_another_body_is_refused",),
    ),
    Mutation(
        "key-claims-nothing",
        "A create that is sent again would make a second task.",
        "FROM next JOIN claim ON id = task_id",
        "FROM next JOIN claim ON true",
        ("test_a_replay_is_the_task_as_it_is_by_now",),
    ),
    Mutation(
        "key-is-kept-for-a-minute",
        "A client that was offline would make a second task.",
        "kept.created_at > interval '24 hours'",
        "kept.created_at > interval '1 minute'",
        ("test_a_key_is_kept_for_24_hours_and_then_is_new",),
    ),
    Mutation(
        "keys-are-deleted-after-a-minute",
        "A client that was offline would make a second task.",
        "now() - interval '24 hours'",
        "now() - interval '1 minute'",
        ("test_expired_keys_of_any_user_are_deleted_when_a_key_arrives",),
    ),
    Mutation(
        "expired-keys-are-kept",
        "The table of the keys would grow for ever.",
        "request.app.state.expired_keys.key_arrived()",
        "pass",
        ("test_expired_keys_of_any_user_are_deleted_when_a_key_arrives",),
    ),
]

DELETIONS = [
    Mutation(
        "reopened-task-is-cleared",
        "A task that was made pending while completed ones are cleared would be lost.",
        "DELETE FROM tasks WHERE {own} AND (created_at, id)",
        "DELETE FROM tasks WHERE user_id = %(user_id)s AND (created_at, id)",
        ("test_a_task_that_is_reopened_meanwhile_stays",),
    ),
    Mutation(
        "deletion-ends-with-the-first-batch",
        "The tasks of a deleted account would stay.",
        "if not has_more:",
        "if True:",
        ("test_more_tasks_than_one_batch_are_deleted_and_counted",),
    ),
    Mutation(
        "deletion-does-not-say-what-it-did",
        "A client would believe that nothing is deleted.",
        "raise _interrupted(error, self._deleted) from error",
        "raise",
        ("test_what_was_deleted_before_a_failure_is_said",),
    ),
    Mutation(
        "deletion-keeps-its-slot",
        "Other users would wait until all of it is deleted.",
        "deleted, has_more = await delete_batch(self._session, self._user_id, self._status)",
        "deleted, has_more = 0, True\n"
        "            while has_more:\n"
        "                done, has_more = await delete_batch(\n"
        "                    self._session, self._user_id, self._status\n"
        "                )\n"
        "                deleted += done",
        ("test_other_users_have_their_turns_between_the_batches",),
    ),
]

LISTS = [
    Mutation(
        "search-takes-a-percent-sign-for-anything",
        "A search for `100%` would find tasks that do not have it.",
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
        "A client would search for other characters than it meant.",
        'if "q" in query.model_fields_set:',
        "if False:",
        ("test_a_wrong_q_is_refused",),
    ),
    Mutation(
        "unknown-parameter-is-ignored",
        "A client that sends `page=2` would get the first page for ever.",
        "if name in TOLERATED:",
        "if True:",
        ("test_the_list_names_an_unknown_parameter",),
    ),
    Mutation(
        "one-of-two-values-is-chosen",
        "The client would get another list than it may have meant.",
        "if len(sent.getlist(name)) > 1",
        "if False",
        ("test_a_parameter_that_is_sent_twice_is_refused",),
    ),
    Mutation(
        "page-repeats-a-task",
        "The last task of a page would be the first of the next.",
        'here > there if order == "asc" else here < there',
        'here >= there if order == "asc" else here <= there',
        ("test_the_newest_come_first_and_titles_from_a_to_z",),
    ),
    Mutation(
        "page-skips-a-tie",
        "Tasks with equal titles would be skipped at the end of a page.",
        'tuple_(key, columns.id), tuple_(position, bindparam("id"))',
        "key, position",
        ("test_pages_put_together_are_the_whole_list_in_order",),
    ),
    Mutation(
        "cursor-of-another-order",
        "The client would get pages that fit no order.",
        "if (sort, direction) != (query.sort, query.direction):",
        "if False:",
        ("test_a_cursor_is_good_for_its_sort_and_order_only",),
    ),
    Mutation(
        "half-a-list-for-all-of-it",
        "The client would take half of its tasks for all of them.",
        "            tasks, following = await read_page(session, user_id, query, following, size)",
        "            tasks, last, following = [], following, None\n"
        '            with __import__("contextlib").suppress(Exception):\n'
        "                tasks, following = await read_page(session, user_id, query, last, size)",
        ("test_a_whole_list_whose_later_page_fails_is_cut_off",),
    ),
]

MUTATIONS = [*FIELDS, *CONDITIONS, *KEYS, *DELETIONS, *LISTS]
