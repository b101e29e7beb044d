from __future__ import annotations

import re

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ferrule.accounts.pools import PoolUse
from ferrule.core.reasons import REASONS, Reason, Stage
from ferrule.dataplane.interface import PlaneCounters
from ferrule.telemetry.metrics import SUITES_MAX, USERS_MAX, Metrics, Snapshot


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3", started=1000.0)


def scrape(metrics: Metrics) -> dict[str, float]:
    """Samples of ours as {'name{label="value",...}': value}, labels sorted."""
    samples = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
            samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return samples


def test_names_follow_the_house_and_the_customs(metrics: Metrics) -> None:
    metrics.attach(lambda: Snapshot(plane=PlaneCounters()))
    families = list(text_string_to_metric_families(generate_latest(metrics.registry).decode()))
    ours = [f for f in families if not f.name.startswith(("python_", "process_"))]
    assert len(ours) > 25
    for family in ours:
        assert re.fullmatch(r"ferrule_[a-z0-9_]+", family.name), family.name
        assert family.documentation.endswith("."), family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name.endswith("_total"), sample.name


def test_a_scrape_before_anything_is_attached(metrics: Metrics) -> None:
    samples = scrape(metrics)
    assert samples['ferrule_build_info{version="1.2.3"}'] == 1
    assert samples["ferrule_start_time_seconds"] == 1000
    assert "ferrule_sessions" not in samples
    assert "process_resident_memory_bytes" in samples


def test_series_exist_before_their_first_event(metrics: Metrics) -> None:
    metrics.attach(Snapshot)
    samples = scrape(metrics)
    assert samples['ferrule_failures_total{reason="wrong_key",stage="phase1"}'] == 0
    assert samples['ferrule_auth_total{method="mschapv2",outcome="ok"}'] == 0
    assert samples['ferrule_sessions_ended_total{reason="peer_closed"}'] == 0
    assert samples['ferrule_setup_seconds_count{stage="total"}'] == 0
    for reason in Reason:
        assert samples[f'ferrule_dropped_total{{reason="{reason.value}"}}'] == 0


def test_what_happens_is_counted(metrics: Metrics) -> None:
    metrics.attach(Snapshot)
    metrics.stage_done("phase1", 0.03)
    metrics.stage_done("total", 0.4)
    metrics.session_up()
    metrics.session_ended(Reason.PEER_CLOSED, 90.0)
    metrics.setup_failed(Reason.WRONG_KEY)
    metrics.auth_tried("mschapv2", None)
    metrics.auth_tried("mschapv2", Reason.WRONG_PASSWORD)
    metrics.isakmp_sa_up("aes256-sha256-modp2048")
    metrics.ipsec_sa_up("aes256-sha256", rekey=False)
    metrics.ipsec_sa_up("aes256-sha256", rekey=True)
    metrics.sa_down("ipsec", Reason.REPLACED_SA)
    metrics.client_moved()
    metrics.bug()
    samples = scrape(metrics)
    expected = {
        'ferrule_setup_seconds_bucket{le="0.05",stage="phase1"}': 1,
        'ferrule_setup_seconds_bucket{le="0.025",stage="phase1"}': 0,
        'ferrule_setup_seconds_sum{stage="total"}': 0.4,
        'ferrule_setups_total{outcome="up"}': 1,
        'ferrule_setups_total{outcome="failed"}': 1,
        'ferrule_failures_total{reason="wrong_key",stage="phase1"}': 1,
        'ferrule_sessions_ended_total{reason="peer_closed"}': 1,
        "ferrule_session_duration_seconds_sum": 90,
        'ferrule_auth_total{method="mschapv2",outcome="ok"}': 1,
        'ferrule_auth_total{method="mschapv2",outcome="wrong_password"}': 1,
        'ferrule_sas_established_total{kind="isakmp",suite="aes256-sha256-modp2048"}': 1,
        'ferrule_sas_established_total{kind="ipsec",suite="aes256-sha256"}': 2,
        'ferrule_rekeys_total{kind="ipsec"}': 1,
        'ferrule_sas_ended_total{kind="ipsec",reason="replaced_sa"}': 1,
        "ferrule_clients_moved_total": 1,
        "ferrule_bugs_total": 1,
    }
    assert {name: samples[name] for name in expected} == expected


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_can_be_recorded_everywhere(metrics: Metrics, reason: Reason) -> None:
    metrics.attach(Snapshot)
    metrics.dropped(reason)
    metrics.setup_failed(reason)
    metrics.session_ended(reason, -1.0)
    metrics.auth_tried("pap", reason)
    metrics.sa_down("isakmp", reason)
    samples = scrape(metrics)
    stage = REASONS[reason].stage
    assert isinstance(stage, Stage)
    name = f'ferrule_failures_total{{reason="{reason.value}",stage="{stage.value}"}}'
    assert samples[name] == 1
    assert samples[f'ferrule_dropped_total{{reason="{reason.value}"}}'] == 1


def test_words_from_elsewhere_make_no_series(metrics: Metrics) -> None:
    metrics.attach(lambda: Snapshot(ipsec_sas={f"made-up-{i}": 2 for i in range(1000)}))
    before = len(scrape(metrics))
    for i in range(1000):
        metrics.stage_done(f"stage-{i}", 1.0)
        metrics.auth_tried(f"method-{i}", None)
        metrics.sa_down(f"kind-{i}", Reason.PEER_DEAD)
    samples = scrape(metrics)
    assert len(samples) < before + 30
    suites = [name for name in samples if name.startswith("ferrule_ipsec_sas{")]
    assert len(suites) == SUITES_MAX + 1
    assert samples['ferrule_ipsec_sas{suite="other"}'] == 2 * (1000 - SUITES_MAX)


def test_how_things_are_is_read_at_the_scrape(metrics: Metrics) -> None:
    now = Snapshot(
        sessions=3,
        setting_up=1,
        clients=4,
        half_open=2,
        users=9,
        ready=False,
        isakmp_sas={"aes256-sha1-modp1024": 2, "aes256-sha256-ecp256": 1},
        ipsec_sas={"aes128-md5": 5},
        pools=[PoolUse("default", size=10, leased=4, free=6)],
        receive_buffers={"4500": 425984},
        overflowed={"4500": 17},
        plane=PlaneCounters(octets_up=7, octets_down=8, esp_in=9, drops={"esp_replay": 11}),
    )
    metrics.attach(lambda: now)
    metrics.dropped(Reason.ESP_REPLAY)
    samples = scrape(metrics)
    expected = {
        "ferrule_sessions": 3,
        "ferrule_sessions_setting_up": 1,
        "ferrule_clients": 4,
        "ferrule_half_open": 2,
        "ferrule_users": 9,
        "ferrule_ready": 0,
        'ferrule_isakmp_sas{suite="aes256-sha1-modp1024"}': 2,
        'ferrule_weak_crypto_sas{algorithm="modp1024"}': 2,
        'ferrule_weak_crypto_sas{algorithm="md5"}': 5,
        'ferrule_pool_addresses{pool="default",state="free"}': 6,
        'ferrule_pool_addresses{pool="default",state="leased"}': 4,
        'ferrule_pool_size{pool="default"}': 10,
        'ferrule_receive_buffer_bytes{port="4500"}': 425984,
        'ferrule_receive_buffer_dropped_total{port="4500"}': 17,
        'ferrule_traffic_bytes_total{direction="up"}': 7,
        'ferrule_traffic_bytes_total{direction="down"}': 8,
        'ferrule_esp_packets_total{direction="in"}': 9,
        'ferrule_dropped_total{reason="esp_replay"}': 12,
    }
    assert {name: samples[name] for name in expected} == expected
    now.sessions = 0
    assert scrape(metrics)["ferrule_sessions"] == 0


def test_reloads_and_weak_choices(metrics: Metrics) -> None:
    metrics.config_loaded(["modp1024", "md5"], wall_now=5.0)
    metrics.reloaded(ok=False)
    samples = scrape(metrics)
    assert samples['ferrule_weak_crypto_allowed{algorithm="md5"}'] == 1
    assert samples['ferrule_config_reloads_total{outcome="failed"}'] == 1
    assert samples["ferrule_config_last_reload_timestamp_seconds"] == 5
    assert samples["ferrule_config_last_reload_successful"] == 0
    metrics.config_loaded([], wall_now=6.0)
    metrics.reloaded(ok=True)
    samples = scrape(metrics)
    assert not any(name.startswith("ferrule_weak_crypto_allowed") for name in samples)
    assert samples['ferrule_config_reloads_total{outcome="ok"}'] == 1
    assert samples["ferrule_config_last_reload_successful"] == 1


def test_who_is_on_has_a_series_up_to_a_bound(metrics: Metrics) -> None:
    on = {f"user{i:04}": 1 for i in range(USERS_MAX + 5)} | {'al"ice': 2}
    metrics.attach(lambda: Snapshot(user_sessions=on))
    series = {name: value for name, value in scrape(metrics).items() if "user_sessions" in name}
    assert len(series) == USERS_MAX
    assert series['ferrule_user_sessions{user="al"ice"}'] == 2  # as `scrape` writes it
    assert series['ferrule_user_sessions{user="user0000"}'] == 1


def test_two_in_one_process_do_not_meet() -> None:
    first, second = Metrics("1", 0.0), Metrics("2", 0.0)
    first.bug()
    assert scrape(second)["ferrule_bugs_total"] == 0
