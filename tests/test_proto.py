from __future__ import annotations

import subprocess
import sys

import pytest

from tests.test_architecture import ROOT

PROTOS = sorted(f.relative_to(ROOT) for p in ("device", "replay_data") for f in (ROOT / p).rglob("*.proto"))


def test_there_is_a_wire_contract():
    assert "device/contract/wire.proto" in map(str, PROTOS)


@pytest.mark.parametrize("proto", PROTOS, ids=str)
def test_generated_code_is_what_make_proto_writes(proto, tmp_path):
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        "-I.",
        f"--python_out={tmp_path}",
        f"--pyi_out={tmp_path}",
    ]
    subprocess.run([*command, str(proto)], cwd=ROOT, check=True)
    for suffix in ("_pb2.py", "_pb2.pyi"):
        generated = proto.with_name(proto.stem + suffix)
        assert (ROOT / generated).read_text() == (tmp_path / generated).read_text(), "run: make proto"
