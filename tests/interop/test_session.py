# SPDX-License-Identifier: Apache-2.0
"""ExporterService without the client's help: report, status, logs, values."""

import threading
import uuid

import grpc
import pytest
from harness.stock import CLIENT_LABEL, EMPTY, NAME_LABEL, Raw, common_pb2, failure, pb

CLIENTS = {
    "": "jumpstarter_driver_composite.client.CompositeClient",
    "power": "jumpstarter_driver_power.client.PowerClient",
    "sync_power": "jumpstarter_driver_power.client.PowerClient",
    "serial": "jumpstarter_driver_pyserial.client.PySerialClient",
    "loop": "jumpstarter_driver_pyserial.client.PySerialClient",
    "net": "jumpstarter_driver_network.client.NetworkClient",
    "hidden": "jumpstarter_driver_network.client.NetworkClient",
    "refused": "jumpstarter_driver_network.client.NetworkClient",
    "udp": "jumpstarter_driver_network.client.NetworkClient",
    "unix": "jumpstarter_driver_network.client.NetworkClient",
    "echo": "jumpstarter_driver_network.client.NetworkClient",
    "storage": "jumpstarter_driver_opendal.client.StorageMuxClient",
    "lab": "jumpstarter_driver_composite.client.CompositeClient",
    "lab.power": "jumpstarter_driver_power.client.PowerClient",
    "lab.storage": "jumpstarter_driver_opendal.client.StorageMuxClient",
    "relay": "jumpstarter_driver_power.client.PowerClient",
}

LEASE_READY, AVAILABLE = common_pb2.EXPORTER_STATUS_LEASE_READY, common_pb2.EXPORTER_STATUS_AVAILABLE


def test_report_names_every_driver_and_its_client_class(raw):
    assert {name: report.labels[CLIENT_LABEL] for name, report in raw.tree().items()} == CLIENTS


def test_report_is_in_pre_order(raw):
    reports = raw.report().reports
    path = []
    for report in reports:
        while path and path[-1] != report.parent_uuid:
            path.pop()
        assert path or report is reports[0], f"{report} follows neither its parent nor a brother"
        path.append(report.uuid)


def test_root_of_the_report_has_no_name_and_no_parent(raw):
    root, *others = raw.report().reports
    assert not root.HasField("parent_uuid")
    assert NAME_LABEL not in root.labels
    assert root.description == "a board for tests"
    assert all(report.HasField("parent_uuid") and report.labels[NAME_LABEL] for report in others)


def test_report_has_uuids_of_the_canonical_form(raw):
    for report in raw.report().reports:
        assert str(uuid.UUID(report.uuid)) == report.uuid


def test_reference_is_the_same_driver_under_another_name(raw):
    tree = raw.tree()
    assert tree["relay"].uuid == tree["lab.power"].uuid
    assert tree["relay"].parent_uuid == tree[""].uuid


def test_report_does_not_change(raw):
    assert raw.report() == raw.report()


def test_report_names_the_exporter(raw, exporter):
    report = raw.report()
    assert uuid.UUID(report.uuid)
    # 0.9.0 leaves this out in direct mode, later ones have it
    assert dict(report.labels) in ({}, {NAME_LABEL: report.labels[NAME_LABEL]})
    if exporter.native:
        assert report.labels[NAME_LABEL] in exporter.path.read_text()


def test_optional_fields_are_absent_not_empty(raw, exporter):
    # What a driver can do beyond the stock one is described, so that clients may know.
    more = {"cycle", "send-break", "touch"} if exporter.native else set()
    for report in raw.report().reports[1:]:
        assert not report.HasField("description"), report
        assert set(report.methods_description) <= more, report


def test_descriptions_and_labels_of_the_configuration_are_reported(serve):
    exporter = serve("""
metadata: {name: described, namespace: null}
export:
  power:
    type: jumpstarter_driver_power.driver.MockPower
    description: the main relay
    methods_description: {"on": lets there be light, "off": puts it out}
    config: {labels: {colour: blue}}
""")
    with Raw(exporter.endpoint) as raw:
        power = raw.tree()["power"]
        assert power.description == "the main relay"
        assert dict(power.methods_description) == {"on": "lets there be light", "off": "puts it out"}
        assert power.labels["colour"] == "blue"


def test_status_is_ready_and_says_what_was_before(raw):
    status = raw.exporter.GetStatus(pb.GetStatusRequest(), timeout=5)
    assert status.status == LEASE_READY
    assert status.message == "Ready for commands"
    assert status.status_version >= 1
    assert status.HasField("previous_status") and status.previous_status == AVAILABLE


def test_reset_is_unimplemented(raw):
    error = failure(lambda: raw.exporter.Reset(pb.ResetRequest(), timeout=5))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


def test_end_session_answers_at_once_and_may_be_repeated(serve):
    exporter = serve({"power": {"type": "jumpstarter_driver_power.driver.MockPower"}})
    with Raw(exporter.endpoint) as raw:
        for _ in range(3):
            answer = raw.exporter.EndSession(pb.EndSessionRequest(), timeout=5)
            assert answer.message
        # it has no lease to end here: whoever comes next is served
        raw.call(raw.uuid("power"), "on")


class TestLogStream:
    def records(self, raw, until, started=None, timeout=20):
        """Reads up to the record with that message."""
        stream = raw.exporter.LogStream(EMPTY, timeout=timeout)
        if started:
            started.set()
        got = []
        for record in stream:
            got.append(record)
            if record.message == until:
                stream.cancel()
                return got
        raise AssertionError(f"the stream ended without {until!r}: {got}")

    def test_replays_what_was_said_before(self, serve):
        exporter = serve({"power": {"type": "jumpstarter_driver_power.driver.MockPower"}})
        with Raw(exporter.endpoint) as raw:
            uuid_ = raw.uuid("power")
            raw.call(uuid_, "on")
            raw.call(uuid_, "off")
            got = [r for r in self.records(raw, "power off") if r.message.startswith("power ")]
            assert [r.message for r in got] == ["power on", "power off"]
            assert all(r.uuid == "" and r.severity == "INFO" for r in got), got

    @pytest.mark.native(reason="its readers take the records away from each other")
    def test_every_reader_gets_every_record(self, serve):
        exporter = serve({"power": {"type": "jumpstarter_driver_power.driver.MockPower"}})
        with Raw(exporter.endpoint) as one, Raw(exporter.endpoint) as two:
            for _ in range(20):
                one.call(one.uuid("power"), "on")
            one.call(one.uuid("power"), "off")
            first, second = [], []
            other = threading.Thread(target=lambda: second.extend(self.records(two, "power off")))
            other.start()
            first.extend(self.records(one, "power off"))
            other.join(20)
            for got in (first, second):
                assert [r.message for r in got if r.message.startswith("power ")] == ["power on"] * 20 + ["power off"]

    def test_stays_open_while_nothing_is_said(self, raw):
        error = failure(lambda: [r for r in raw.exporter.LogStream(EMPTY, timeout=1.5)])
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED


class TestValues:
    def test_no_result_is_an_explicit_null(self, raw):
        answer = raw.call(raw.uuid("power"), "on")
        assert answer.result.WhichOneof("kind") == "null_value"
        assert uuid.UUID(answer.uuid).version == 4

    def test_readings_are_numbers_in_order(self, raw):
        for name in ("power", "sync_power"):
            items = list(raw.items(raw.uuid(name), "read"))
            assert [dict(i.result.struct_value.items()) for i in items] == [
                {"voltage": 0.0, "current": 0.0}, {"voltage": 5.0, "current": 2.0}]
            assert len({i.uuid for i in items} | {""}) == 3, "each item has a uuid of its own"

    def test_uuids_are_read_leniently(self, raw):
        plain = raw.uuid("power")
        for form in (plain.upper(), plain.replace("-", ""), plain.upper().replace("-", ""), "{" + plain + "}"):
            raw.call(form, "on")

    def test_address_is_text(self, raw, board):
        answer = raw.call(raw.uuid("net"), "address")
        assert answer.result.string_value == f"tcp://127.0.0.1:{board.tcp.port}"


class TestConnections:
    def test_many_connections_at_once(self, exporter):
        with_raw = [Raw(exporter.endpoint) for _ in range(50)]
        try:
            reports = [r.exporter.GetReport.future(EMPTY, timeout=20) for r in with_raw]
            first = reports[0].result().reports
            assert all(r.result().reports == first for r in reports)
        finally:
            for r in with_raw:
                r.channel.close()

    def test_many_calls_at_once_on_one_connection(self, raw):
        uuid_ = raw.uuid("power")
        request = pb.DriverCallRequest(uuid=uuid_, method="on")
        calls = [raw.exporter.DriverCall.future(request, timeout=20) for _ in range(300)]
        assert all(c.result().result.WhichOneof("kind") == "null_value" for c in calls)
