"""A database that is slow or away, its connections, and its migrations."""

from tests.mutations.mutation import Mutation

WRITES = (
    "test_a_write_whose_response_is_lost_is_not_sent_again",
    "test_a_conditional_write_whose_response_is_lost_is_not_sent_again",
)

MUTATIONS = [
    Mutation(
        "lost-write-is-sent-again",
        "A toggle that is sent twice undoes itself.",
        "if not retry:",
        "if False:",
        WRITES,
    ),
    Mutation(
        "lost-change-is-sent-again",
        "A toggle that is sent twice undoes itself.",
        "retry: bool = False,\n) -> Task:",
        "retry: bool = True,\n) -> Task:",
        WRITES,
    ),
    Mutation(
        "lost-create-is-sent-again",
        "The user would have the task twice.",
        "session.fetch(queries.CREATE, values, retry=False)",
        "session.fetch(queries.CREATE, values, retry=True)",
        WRITES,
    ),
    Mutation(
        "lost-read-is-not-sent-again",
        "Each restart of the database or its pooler would be a 503 for reads.",
        "return await self._fetch_once(statement, parameters, started_at, fresh=True)",
        "raise",
        ("test_a_read_whose_response_is_lost_is_sent_again",),
    ),
    Mutation(
        "write-is-sent-late",
        "The client would be told 503, and the write would happen after that.",
        'raise DatabaseUnavailable("connecting left no time for the statement")',
        "pass",
        ("test_a_write_that_can_not_be_answered_in_time_is_not_sent",),
    ),
    Mutation(
        "pool-is-kept-after-a-failover",
        "Each connection to the old primary would fail one more write.",
        "database.close_connections()",
        "pass",
        ("test_after_a_failover_no_connection_to_the_old_primary_is_kept",),
    ),
    Mutation(
        "dead-connection-is-used",
        "A write would be sent into a connection that the server had closed.",
        "if connection.is_alive() and not fresh:",
        "if not fresh:",
        ("test_a_backend_killed_a_moment_ago_is_known_dead_before_the_loop_can_tell",),
    ),
    Mutation(
        "statement-goes-on-in-the-server",
        "Statements that nobody waits for would take the server's time and hold locks.",
        "await cancel(self)",
        "pass",
        ("test_a_statement_that_takes_too_long_is_a_503_and_ends_in_the_server",),
    ),
    Mutation(
        "health-waits-for-long",
        "A platform would take the health check's silence for a dead process.",
        "asyncio.timeout(HEALTH_TIMEOUT)",
        "asyncio.timeout(4)",
        ("test_health_follows_the_database[hanging]",),
    ),
    Mutation(
        "health-waits-behind-requests",
        "A busy service would be taken for a dead one and restarted.",
        "self._probe = Pool(self._connect, 1, 0, HEALTH_TIMEOUT)",
        "self._probe = self.pool",
        ("test_health_does_not_wait_behind_requests",),
    ),
    Mutation(
        "migrations-run-at-the-same-time",
        "Two releases at once would break the schema.",
        'connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))',
        "pass",
        ("test_two_that_migrate_at_once_do_no_harm",),
    ),
    Mutation(
        "forgotten-statement-is-an-error",
        "Each new server connection of a pooler would be a 500 for each statement.",
        "    errors.InvalidSqlStatementName,\n",
        "",
        ("test_a_statement_is_sent_again_and_done_once",),
    ),
    Mutation(
        "statement-that-is-there-is-an-error",
        "A pooler's server connection that another process has used would be a 500.",
        "    errors.DuplicatePreparedStatement,\n",
        "",
        ("test_a_statement_is_sent_again_and_done_once",),
    ),
    Mutation(
        "changed-type-is-an-error",
        "A migration would make every statement a 500 until the service restarts.",
        "    errors.FeatureNotSupported,\n",
        "",
        ("test_a_statement_is_sent_again_and_done_once",),
    ),
    Mutation(
        "write-is-done-again-with-its-statement",
        "A toggle that is done twice undoes itself.",
        'f"DEALLOCATE {self.name}; {self.prepare}"',
        'f"DEALLOCATE {self.name}; {self.prepare}; {self.execute}"',
        ("test_a_statement_is_sent_again_and_done_once",),
    ),
    Mutation(
        "name-is-only-of-the-text",
        "Two releases behind a pooler would execute each other's statements.",
        "sha256(body.encode())",
        "sha256(sql.encode())",
        ("test_a_name_stands_for_one_text_with_its_types",),
    ),
    Mutation(
        "error-is-taken-for-a-pooler",
        "Each new connection would first send every statement in vain.",
        "self.is_pooled |= statement.name not in names",
        "self.is_pooled = True",
        ("test_another_error_is_not_taken_for_a_pooler",),
    ),
    Mutation(
        "deadline-begins-again-with-each-message",
        "A client would wait for three times as long as is promised.",
        """error undid the message as a whole, so nothing is executed twice. Behind a pooler the
        second message may meet yet another server connection. So the third prepares nothing.
        \"\"\"
""",
        """\"\"\"
        self._set_deadline(STATEMENT_TIMEOUT)
""",
        ("test_the_deadline_holds_for_all_messages_together",),
    ),
    Mutation(
        "message-is-sent-after-the-deadline",
        "A write would be sent, and the client told that it failed.",
        "if self.expired:  # during the message before",
        "if False:  # during the message before",
        ("test_no_message_is_sent_after_the_deadline",),
    ),
    Mutation(
        "lost-statements-stay-on",
        "Behind a pooler that discards all, each statement would be sent twice for ever.",
        "                self.enabled = False\n",
        "",
        ("test_what_is_forgotten_too_often_is_no_longer_prepared",),
    ),
    Mutation(
        "setting-of-prepared-statements-is-ignored",
        "They could not be turned off behind a proxy that they make useless.",
        "prepared_statements=settings.db_prepared_statements",
        "prepared_statements=True",
        ("test_the_setting_turns_them_on_and_off[False]",),
    ),
]
