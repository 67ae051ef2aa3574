from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from device.contract.errors import TryAgainError, UsageError
from ingest.monitor import MonitorAddress, monitor, parse_address
from ingest.vitals import DISCONNECTED_S, OVERDUE_S, STALLED_S, Vitals

START_S = 1_000.0


def turned(vitals, now_s, *, connected=True, held=0, held_s=0.0):
    vitals.turn(now_s, connected=connected, held=held, held_s=held_s)
    return vitals.trouble(now_s)


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def numbers(url):
    """Samples of a scrape, as Prometheus itself reads them."""
    families = text_string_to_metric_families(get(f"{url}/metrics")[1])
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_a_worker_that_turns_and_hears_its_broker_is_well():
    vitals = Vitals([], START_S)
    assert vitals.trouble(START_S) == []
    assert turned(vitals, START_S + 3_600) == []


def test_a_worker_that_does_not_turn_is_in_trouble():
    vitals = Vitals([], START_S)
    turned(vitals, START_S + 10)
    assert vitals.trouble(START_S + 10 + STALLED_S) == []
    (told,) = vitals.trouble(START_S + 11 + STALLED_S)
    assert told == "the worker has not turned for 31 s: is its disk stuck?"


def test_a_broker_that_is_away_for_long_is_trouble_until_it_is_back():
    vitals = Vitals([], START_S)
    assert turned(vitals, START_S + DISCONNECTED_S, connected=False) == []
    assert turned(vitals, START_S + DISCONNECTED_S + 1, connected=False) == ["no broker for 61 s"]
    assert turned(vitals, START_S + DISCONNECTED_S + 2) == []


def test_messages_that_are_not_written_are_trouble():
    vitals = Vitals([], START_S)
    assert turned(vitals, START_S + 40, held=7, held_s=OVERDUE_S + 1) == ["a message has not been written for 31 s"]


def test_the_scrape_tells_counters_reasons_gauges_and_the_process():
    worker, broker = Counter(received=7, stored=4, rejected=3, rejected_garbage=2, rejected_oversized=1), Counter()
    vitals = Vitals([worker, broker], START_S)
    times_s = iter([10.0, 10.25, 20.0, 20.5])
    for _ in range(2):
        with vitals.commit(lambda: next(times_s)):
            pass
    with monitor(vitals, MonitorAddress("127.0.0.1", 0)) as url:
        found = numbers(url)
        broker["connects"] += 1
        assert numbers(url)["ubi_ingest_connects_total",] == 1
    assert found["ubi_ingest_received_total",] == 7
    assert found["ubi_ingest_acks_dropped_total",] == 0
    assert found["ubi_ingest_rejected_total", "garbage"] == 2
    assert found["ubi_ingest_rejected_total", "oversized"] == 1
    assert found["ubi_ingest_connected",] == 1
    assert (found["ubi_ingest_commit_seconds_count",], found["ubi_ingest_commit_seconds_sum",]) == (2, 0.75)
    assert found["process_resident_memory_bytes",] > 1e6


def test_health_is_200_when_well_and_503_with_the_reason_when_not():
    vitals = Vitals([], START_S)
    with monitor(vitals, MonitorAddress("127.0.0.1", 0)) as url:
        status, told = get(f"{url}/health")
        assert (status, json.loads(told)["status"]) == (503, "trouble")  # its last turn was long ago
        assert "has not turned" in json.loads(told)["trouble"][0]
        vitals.turn(float("inf"), connected=True, held=0, held_s=0.0)
        status, told = get(f"{url}/health")
        assert (status, json.loads(told)["trouble"]) == (200, [])
        assert get(f"{url}/")[0] == 404


def test_the_loopback_is_the_default_and_another_host_has_to_be_said():
    assert parse_address("9464") == ("127.0.0.1", 9_464)
    assert parse_address("0.0.0.0:9464") == ("0.0.0.0", 9_464)
    assert parse_address("[::1]:9464") == ("::1", 9_464)
    for wrong in ("", "http", "host:", "70000", "-1"):
        with pytest.raises(UsageError, match="say PORT, or HOST:PORT"):
            parse_address(wrong)


def test_a_taken_port_and_a_foreign_host_are_told_in_one_line(free_port):
    vitals = Vitals([], START_S)
    with (
        socket.create_server(("127.0.0.1", free_port)),
        pytest.raises(TryAgainError, match="Address already in use; name another port"),
    ):
        monitor(vitals, MonitorAddress("127.0.0.1", free_port)).__enter__()
    with pytest.raises(UsageError, match="not a host of this machine"):
        monitor(vitals, MonitorAddress("no.such.host.invalid", 0)).__enter__()
