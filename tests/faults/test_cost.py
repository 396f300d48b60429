"""The cost of a request is linear in its size, and small, because requests need no token.

Each test sends requests of one shape in two sizes to a service in its own process. With `-s`, a
table of all shapes is printed at the end.
"""

from collections.abc import Iterator

import pytest

from tests.faults.conftest import Serve
from tests.faults.costs import LARGE, Meter, Shape, connect, measured, request, send, status
from tests.faults.shapes import BEHIND_A_PROXY, BODIES, HEADERS, PATHS, QUERIES, WITH_TELEMETRY
from tests.support.collector import collecting
from tests.support.processes import Service


@pytest.fixture(scope="module")
def meter(service: Service) -> Iterator[Meter]:
    with measured(service, "paths, queries, headers and bodies") as meter:
        yield meter


@pytest.fixture(scope="module")
def meter_behind_a_proxy(serve: Serve) -> Iterator[Meter]:
    with (
        serve(forwarded_allow_ips="10.0.0.0/8, 127.0.0.1") as service,
        measured(service.starts(), "trusted X-Forwarded-* headers") as meter,
    ):
        yield meter


@pytest.fixture(scope="module")
def meter_of_telemetry(serve: Serve) -> Iterator[Meter]:
    with (
        collecting() as collector,
        serve(otel_exporter_otlp_endpoint=collector.url) as service,
        measured(service.starts(), "paths, queries and headers, with telemetry") as meter,
    ):
        yield meter


@pytest.mark.parametrize("shape", [*PATHS, *QUERIES, *HEADERS, *BODIES], ids=str)
def test_the_cost_grows_no_faster_than_the_size(meter: Meter, shape: Shape) -> None:
    meter.assert_linear(shape)


@pytest.mark.parametrize("shape", BEHIND_A_PROXY, ids=str)
def test_the_cost_grows_no_faster_behind_a_proxy(meter_behind_a_proxy: Meter, shape: Shape) -> None:
    meter_behind_a_proxy.assert_linear(shape)


@pytest.mark.parametrize("shape", WITH_TELEMETRY, ids=str)
def test_the_cost_grows_no_faster_with_telemetry(meter_of_telemetry: Meter, shape: Shape) -> None:
    meter_of_telemetry.assert_linear(shape)


def test_health_is_served_beside_requests_with_hostile_paths(meter: Meter) -> None:
    """All four together cost little, so none of them can have delayed another for long."""
    hostile = request(b"/%" * (LARGE // 2))
    before = meter.seconds()
    with (
        connect(meter.service) as first,
        connect(meter.service) as second,
        connect(meter.service) as third,
        connect(meter.service) as health,
    ):
        for connection in (first, second, third):
            send(connection, hostile)
        send(health, request())
        assert status(health) == "200"
        assert [status(connection) for connection in (first, second, third)] == ["404"] * 3
    assert meter.seconds() - before < 3 * 2 * LARGE / 1024 * meter.plain
