"""More requests than connections: users take turns, some are refused, and no slot is lost."""

from tests.mutations.mutation import Mutation

MUTATIONS = [
    Mutation(
        "users-take-no-turns",
        "One user's flood would make the others wait.",
        "self.users.move_to_end(user)",
        "pass",
        ("test_users_take_turns",),
    ),
    Mutation(
        "running-requests-do-not-count",
        "A user with slow requests could hold nearly all slots.",
        "(count := running.get(each, 0))",
        "(count := running.get(each, 0) * 0)",
        ("test_the_user_with_the_fewest_running_requests_is_next",),
    ),
    Mutation(
        "greedy-user-is-not-refused",
        "One user could take every place in the queue.",
        "if mine >= share and self._is_shared():",
        "if False:",
        ("test_when_the_queue_is_full_the_user_with_most_requests_loses_the_newest",),
    ),
    Mutation(
        "any-number-may-wait",
        "Waiting requests would fill the memory, and most of them would time out.",
        " and waiting < self._max_waiting:",
        ":",
        ("test_a_request_is_refused_at_once_when_the_queue_is_full",),
    ),
    Mutation(
        "no-refusal-at-once",
        "A client would wait two seconds before a 503 that could be sent at once.",
        "waiting < slots and ",
        "",
        ("test_a_user_with_few_requests_may_wait_even_if_the_queue_is_slow",),
    ),
    Mutation(
        "wake-up-counts-in-the-pace",
        "After a wake-up nearly all requests would be refused for a second or more.",
        "max(self._since, self._unconnected_at())",
        "self._since",
        ("test_time_without_a_connection_does_not_count_in_the_measured_pace",),
    ),
    Mutation(
        "slot-gets-lost",
        "After some requests no slot would be left.",
        "            self._free += 1",
        "            pass",
        ("test_a_request_that_is_cancelled_as_it_gets_a_slot_does_not_keep_it",),
    ),
    Mutation(
        "slot-of-a-cancelled-request-gets-lost",
        "Each client that disconnects at the wrong moment would cost a slot.",
        "                self.release(user)",
        "                pass",
        ("test_a_request_that_is_cancelled_as_it_gets_a_slot_does_not_keep_it",),
    ),
    Mutation(
        "slot-of-a-failed-request-gets-lost",
        "Each error would cost a slot.",
        "            return await self.call(request, solved={get_current_user: user_id})\n"
        "        finally:\n"
        "            slot.release()",
        "            response = await self.call(request, solved={get_current_user: user_id})\n"
        "            slot.release()\n"
        "            return response\n"
        "        finally:\n"
        "            pass",
        ("test_the_service_keeps_working_after_a_bug",),
    ),
    Mutation(
        "client-that-left-is-served",
        "Requests of a client that times out and retries would all be executed.",
        "raise ClientDisconnect",
        "pass",
        ("test_a_waiting_request_whose_client_left_is_not_executed",),
    ),
    Mutation(
        "stop-resets-a-request",
        "A request that arrives while an idle connection is being closed would be lost.",
        "if self._reading_paused or not waits.poll(0):",
        "if True:",
        ("test_a_connection_with_an_unread_request_is_not_closed",),
    ),
    Mutation(
        "stop-does-not-announce",
        "A proxy would send requests on connections that are about to close.",
        "            await self._drain(DRAIN_TIME)\n",
        "            pass\n",
        ("test_a_request_on_an_open_connection_is_served_during_a_shutdown",),
    ),
    Mutation(
        "stop-resets-waiting-connections",
        "Connections that wait in the kernel to be accepted would be reset.",
        "for _ in range(MAX_WAITING):",
        "for _ in range(0):",
        ("test_connections_in_the_accept_queue_are_served_during_a_shutdown",),
    ),
    Mutation(
        "overlap-resets-handshakes",
        "Connections in the TCP handshake would be lost when one release replaces another.",
        "        ignore_handshakes(listeners)\n",
        "        pass\n",
        ("test_no_connection_is_lost_when_a_release_replaces_another",),
    ),
    Mutation(
        "workers-keep-their-clients",
        "A restarted worker would have almost no clients.",
        "if connections > share * TOLERANCE + SLACK else 0",
        "if False else 0",
        ("test_workers_see_each_others_reports",),
    ),
]
