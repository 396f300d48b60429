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
        "return await self._fetch_once(statement, parameters, started_at, start_by, fresh=True)",
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
        "libpq-crashes",
        "A hiccup of a provider's proxy would end the service.",
        'os.environ.setdefault("PGSSLROOTCERT", "")',
        "pass",
        ("test_a_handshake_that_is_cut_off_after_the_certificate_is_a_503",),
    ),
    Mutation(
        "reset-is-not-noticed",
        "A read would wait for five seconds, and be a 503.",
        "if waited and self._has_something_to_read():",
        "if False:",
        ("test_a_read_is_repeated_and_a_write_is_not_when_the_response_is_cut_off",),
    ),
    Mutation(
        "wrong-password-is-tried-again",
        "A mistake in a setting would look like a database that is slow to start.",
        "show_sqlstates(self, show=True)",
        "pass",
        ("test_the_sqlstate_is_known_in_any_language",),
    ),
    Mutation(
        "dead-connection-is-used",
        "A write would be sent into a connection that the server had closed.",
        "            if connection.is_alive():\n                self.in_use += 1",
        "            if True:\n                self.in_use += 1",
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
        "self._probe = Probe(self._connect)",
        "self._probe = self.pool",
        ("test_health_does_not_wait_behind_requests",),
    ),
    Mutation(
        "wake-up-is-not-waited-for",
        "Each wake-up of a suspended database would be a 503 for all.",
        "is_final = not (may_pass or self._pool.is_connected())",
        "is_final = not self._pool.is_connected()",
        ("test_requests_wait_for_a_database_that_wakes",),
    ),
    Mutation(
        "wrong-password-delays-all-requests",
        "Requests would wait for seconds for the 503 that is certain.",
        "is_final = not (may_pass or self._pool.is_connected())",
        "is_final = False",
        ("test_a_wrong_password_is_a_503_at_once_for_all",),
    ),
    Mutation(
        "attempt-that-hangs-is-waited-for",
        "A connection that the provider holds for good would delay all requests by 5 seconds.",
        "            self._start_fresh_attempt()\n            self._pause()",
        "            if not self._attempts:\n                self._start_fresh_attempt()\n"
        "            self._pause()",
        ("test_an_attempt_that_hangs_for_good_delays_no_other",),
    ),
    Mutation(
        "connections-churn",
        "A busy service would open a connection for nearly every request.",
        "        connection.used = True\n",
        "        connection.used = True\n        if self.idle >= self._size:\n"
        "            connection.close()\n            return\n",
        ("test_connections_are_kept_while_they_are_used",),
    ),
    Mutation(
        "surplus-is-kept-for-ever",
        "After one burst a process would keep connections that others need.",
        "in islice(unused, surplus):",
        "in islice(unused, 0):",
        ("test_a_surplus_is_closed_when_it_was_idle_for_one_to_two_periods",),
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
