"""What a task may hold, how it changes, and how lists, conditions and keys work."""

from tests.mutations.mutation import Mutation

FIELDS = [
    Mutation(
        "title-is-not-trimmed",
        "Titles that look the same would differ.",
        "strip_whitespace=True",
        "strip_whitespace=False",
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
        "columns.updated_at + literal_column(\"interval '1 microsecond'\")",
        "columns.updated_at",
        ("test_a_change_is_later_even_if_the_clock_was_set_back",),
    ),
    Mutation(
        "toggle-reads-before-it-writes",
        "Of two toggles at once one would be lost.",
        "completed=~columns.completed",
        'completed=(lambda seen: select(~seen.c.completed).where(seen.c.id == bindparam("task_id"))'
        ".scalar_subquery())(tasks.alias())",
        ("test_concurrent_toggles_leave_the_parity_of_their_number",),
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
        "if-match-takes-weak-tags",
        "RFC 9110, section 13.1.1: If-Match needs a strong comparison.",
        'return None if tags == ["*"] else frozenset(tags)',
        'return None if tags == ["*"] else frozenset(tag.removeprefix("W/") for tag in tags)',
        ("test_a_weak_or_another_tag_does_not_match",),
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
        "interval '24 hours'",
        "interval '1 minute'",
        ("test_a_key_is_kept_for_24_hours_and_then_is_new",),
    ),
]

LISTS = [
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

MUTATIONS = [*FIELDS, *CONDITIONS, *KEYS, *LISTS]
