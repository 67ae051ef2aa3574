from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, date, datetime, timedelta

import pytest

from device.config import load_config
from device.contract.errors import UsageError
from device.contract.signing import Signer
from ingest.authority import Authority
from ingest.certificates import CLIENT, Pair, issue, new_authority, revocation_list, revoked_serials
from ingest.devices import ACTIVE, REVOKED, Consent, PolicyLink
from ingest.enrol import Enrolment, enrol, revoke
from ingest.registry import read_registry

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TODAY = NOW.date()
CONFIGURATION = {"zone": "Europe/Berlin", "broker": "mqtts://localhost:8883", "obd_port": "/dev/ttyUSB0"}
PRICING = Consent(("pricing",))


def asked(device_id="car-1", consent=PRICING, policy=None, days=730):
    return Enrolment(device_id, consent, CONFIGURATION, policy, days)


@pytest.fixture
def authority(tmp_path):
    made = Authority(tmp_path / "ca")
    made.create(["localhost", "127.0.0.1"], NOW, None)
    return made


def verified(folder, certificate, authority="cars.pem", *, now=NOW):
    """What openssl, which is not ours, says of a certificate."""
    command = ["openssl", "verify", "-attime", str(int(now.timestamp())), "-x509_strict", "-CAfile", folder / authority]
    with_list = ["-crl_check", "-CRLfile", folder / "crl.pem"] if authority == "cars.pem" else []
    result = subprocess.run([*command, *with_list, certificate], capture_output=True, text=True)
    return result.stdout + result.stderr


def test_every_private_key_is_readable_by_its_owner_only(authority, tmp_path):
    enrol(asked(), authority, tmp_path / "r.jsonl", tmp_path / "bundle", NOW, again=False)
    secret = {path.name for path in tmp_path.rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()}
    assert secret == {"cars.key", "services.key", "broker.key", "worker.key", "tls.key"}
    for path in (*tmp_path.rglob("*.key"), tmp_path / "bundle" / "device.toml", tmp_path / "r.jsonl"):
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_authorities_are_made_once(authority):
    with pytest.raises(UsageError, match="holds authorities already, which cars in the field trust"):
        authority.create(["localhost"], NOW, None)


def test_the_bundle_is_a_configuration_the_agent_reads_with_keys_that_fit(authority, tmp_path):
    consent = Consent(("pricing",), motion="full")
    device = enrol(asked(consent=consent), authority, tmp_path / "r.jsonl", tmp_path / "bundle", NOW, again=False)
    config = load_config(tmp_path / "bundle" / "device.toml")
    assert (config.device_id, config.motion, config.location) == ("car-1", "full", "off")
    assert config.insurer_key == Signer.from_file(authority.folder / "config.key").public_key
    assert Signer.from_file(config.key_file).public_key.hex() == device.keys[0].public_key
    context = ssl.create_default_context(cafile=config.ca_file)
    context.load_cert_chain(*config.client)
    assert verified(authority.folder, config.cert_file).endswith(": OK\n")
    assert read_registry(tmp_path / "r.jsonl")[0].devices == {"car-1": device}


def test_certificates_hold_for_their_authority_and_their_time_only(authority, tmp_path):
    enrol(asked(days=10), authority, tmp_path / "r.jsonl", tmp_path / "bundle", NOW, again=False)
    certificate, folder = tmp_path / "bundle" / "tls.pem", authority.folder
    assert "certificate has expired" in verified(folder, certificate, now=NOW + timedelta(days=11))
    assert "unable to get local issuer" in verified(folder, certificate, "services.pem")
    assert verified(folder, folder / "worker" / "worker.pem", "services.pem").endswith(": OK\n")
    assert "unable to get local issuer" in verified(folder, folder / "worker" / "worker.pem")


def test_a_known_device_is_not_enrolled_by_mistake(authority, tmp_path):
    registry = tmp_path / "r.jsonl"
    enrol(asked(), authority, registry, tmp_path / "one", NOW, again=False)
    with pytest.raises(UsageError, match="'car-1' is enrolled; --again gives it new keys"):
        enrol(asked(), authority, registry, tmp_path / "two", NOW, again=False)
    with pytest.raises(UsageError, match="no device 'car-2'; leave out --again"):
        enrol(asked("car-2"), authority, registry, tmp_path / "two", NOW, again=True)
    assert not (tmp_path / "two").exists()


def test_enrolling_again_revokes_the_old_certificate_and_ends_the_old_key(authority, tmp_path):
    registry, later = tmp_path / "r.jsonl", NOW + timedelta(days=40)
    before = enrol(asked(policy=("P-1", "D-1")), authority, registry, tmp_path / "one", NOW, again=False)
    revoke("car-1", authority, registry, later)
    wanted = asked(consent=None, policy=("P-2", "D-2"))
    after = enrol(wanted, authority, registry, tmp_path / "two", later, again=True)
    assert after.status == ACTIVE
    assert after.consent == before.consent
    assert [key.until for key in after.keys] == [later.date(), None]
    assert after.policies == (
        PolicyLink("P-1", "D-1", TODAY, later.date()),
        PolicyLink("P-2", "D-2", later.date()),
    )
    assert "certificate revoked" in verified(authority.folder, tmp_path / "one" / "tls.pem", now=later)
    assert verified(authority.folder, tmp_path / "two" / "tls.pem", now=later).endswith(": OK\n")


def test_enrolled_three_times_on_a_day_there_is_one_key_and_one_policy(authority, tmp_path):
    registry = tmp_path / "r.jsonl"
    for number in range(3):
        what = asked(policy=(f"P-{number}", "D"))
        device = enrol(what, authority, registry, tmp_path / str(number), NOW, again=number > 0)
    assert device.policies == (PolicyLink("P-2", "D", TODAY),)
    assert len(device.keys_at(int(NOW.timestamp() * 1_000))) == 1
    assert len(device.certificates) == 1


def test_revoking_is_in_the_registry_and_in_both_lists_and_stays(authority, tmp_path):
    registry, folder = tmp_path / "r.jsonl", authority.folder
    for name in ("car-1", "car-2"):
        enrol(asked(name), authority, registry, tmp_path / name, NOW, again=False)
        assert revoke(name, authority, registry, NOW).status == REVOKED
    for _ in range(2):
        revoke("car-2", authority, registry, NOW)
    devices = read_registry(registry)[0].devices
    serials = {device.certificates[0].serial for device in devices.values()}
    for listed in (folder / "crl.pem", folder / "broker" / "crl.pem"):
        assert revoked_serials(listed.read_bytes()) == serials
    assert "certificate revoked" in verified(folder, tmp_path / "car-1" / "tls.pem")
    with pytest.raises(UsageError, match="no device 'car-3'"):
        revoke("car-3", authority, registry, NOW)


@pytest.mark.parametrize("name", ["ubi-worker", "probe", "a/b", "+", "x" * 65, ""])
def test_a_name_that_means_something_on_the_broker_is_no_device(authority, tmp_path, name):
    with pytest.raises(UsageError, match="device id"):
        enrol(asked(name), authority, tmp_path / "r.jsonl", tmp_path / "bundle", NOW, again=False)
    assert not (tmp_path / "r.jsonl").exists()


def test_consent_has_to_be_said(authority, tmp_path):
    with pytest.raises(UsageError, match="say what the person agreed to, for example --purpose pricing"):
        enrol(asked(consent=None), authority, tmp_path / "r.jsonl", tmp_path / "bundle", NOW, again=False)


def test_keys_that_others_may_read_and_folders_in_use_are_refused(authority, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "x").touch()
    with pytest.raises(UsageError, match="is in use; name a new folder"):
        enrol(asked(), authority, tmp_path / "r.jsonl", tmp_path / "used", NOW, again=False)
    (authority.folder / "cars.key").chmod(0o644)
    with pytest.raises(UsageError, match=r"others may read this key \(mode 644\); run: chmod 600"):
        enrol(asked(), authority, tmp_path / "r.jsonl", tmp_path / "bundle", NOW, again=False)
    with pytest.raises(
        UsageError, match=r"cars\.pem: No such file or directory; name the folder that 'ubi ingest ca' made"
    ):
        enrol(asked(), Authority(tmp_path), tmp_path / "r.jsonl", tmp_path / "bundle", NOW, again=False)


def test_a_key_that_is_not_the_authoritys_signs_nothing():
    one, other = new_authority("one", NOW), new_authority("other", NOW)
    for key in (other.key, b"nonsense"):
        with pytest.raises(UsageError, match="authority's key"):
            issue(Pair(one.certificate, key), "car", NOW, 1, [CLIENT])
    assert revoked_serials(revocation_list(one, NOW, ["ff"], revocation_list(one, NOW, ["a1"]))) == {"ff", "a1"}


def test_the_day_a_certificate_expires_is_in_the_registry(authority, tmp_path):
    device = enrol(asked(days=10), authority, tmp_path / "r.jsonl", tmp_path / "bundle", NOW, again=False)
    assert device.certificates[0].until == date(2026, 12, 2)
