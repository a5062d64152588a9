"""The stubs of the Pub/Sub API are those of its .proto file, and say the same on the wire as Salesforce's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from fieldwarden.connectors.salesforce.protocol import pubsub_api_pb2 as api

PROTOCOL = Path(api.__file__).parent

WIRE = {
    "FetchRequest": {"topic_name": 1, "replay_preset": 2, "replay_id": 3, "num_requested": 4, "auth_refresh": 5},
    "FetchResponse": {"events": 1, "latest_replay_id": 2, "rpc_id": 3, "pending_num_requested": 4},
    "ConsumerEvent": {"event": 1, "replay_id": 2},
    "ProducerEvent": {"id": 1, "schema_id": 2, "payload": 3, "headers": 4},
    "EventHeader": {"key": 1, "value": 2},
    "SchemaRequest": {"schema_id": 1},
    "SchemaInfo": {"schema_json": 1, "schema_id": 2, "rpc_id": 3},
    "TopicRequest": {"topic_name": 1},
    "TopicInfo": {
        "topic_name": 1,
        "tenant_guid": 2,
        "can_publish": 3,
        "can_subscribe": 4,
        "schema_id": 5,
        "rpc_id": 6,
    },
}
"""Numbers of the fields, as Salesforce publishes them."""


def test_the_stubs_are_what_the_proto_file_makes(tmp_path: Path) -> None:
    made = tmp_path / "made"
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTOCOL}", f"--descriptor_set_out={made}"]
    subprocess.run([*protoc, "pubsub_api.proto"], check=True)
    (file,) = FileDescriptorSet.FromString(made.read_bytes()).file
    for message in file.message_type:
        for field in message.field:
            field.ClearField("json_name")  # which stubs leave out
    kept = FileDescriptorProto()
    api.DESCRIPTOR.CopyToProto(kept)
    assert kept == file


def test_messages_are_numbered_as_salesforce_numbers_them() -> None:
    found = {
        name: {field.name: field.number for field in message.fields}
        for name, message in api.DESCRIPTOR.message_types_by_name.items()
    }
    assert found == WIRE
    assert dict(api.ReplayPreset.items()) == {"LATEST": 0, "EARLIEST": 1, "CUSTOM": 2}


def test_the_service_has_the_calls_that_we_make() -> None:
    service = api.DESCRIPTOR.services_by_name["PubSub"]
    assert service.full_name == "eventbus.v1.PubSub"
    calls = {each.name: (each.input_type.name, each.output_type.name) for each in service.methods}
    assert calls == {
        "Subscribe": ("FetchRequest", "FetchResponse"),
        "GetSchema": ("SchemaRequest", "SchemaInfo"),
        "GetTopic": ("TopicRequest", "TopicInfo"),
    }
