# SPDX-License-Identifier: Apache-2.0
"""Sockets of USB 3, each of which is a port of two hubs. Its guest has them: jmp_lab() in CMakeLists.txt."""

import pytest
from harness.program import run, wait_until
from harness.stock import client

from attached import Attached
from attached import device as entry
from hardware import PLATFORM, PLUG_TIMEOUT, Storage, device_in, settle
from usbfs import UsbFs


class Socket:
    """Socket 0 of the bench: both halves as the kernel has them, and what its device sees of the power."""

    def __init__(self):
        hubs = sorted(PLATFORM.glob("dummy_hcd.0/usb[0-9]*"), key=lambda hub: int((hub / "speed").read_text()))
        assert [(hub / "speed").read_text().strip() for hub in hubs] == ["480", "5000"], "a guest without USB 3"
        self.paths = [f"{hub.name[3:]}-1" for hub in hubs]
        self.ports = [next(hub.glob(f"*:*/{hub.name}-port1")) for hub in hubs]

    def powered(self):
        """Whether what is plugged in answers."""
        device = device_in(0)
        try:
            usb = device and UsbFs(device)
        except OSError:     # it is going
            return False
        try:
            return bool(usb) and len(usb.control(0x80, 6, 0x0100, 0, 18)) == 18
        except OSError:
            return False
        finally:
            if usb:
                usb.close()

    def disabled(self):
        return [port.joinpath("disable").read_text().strip() for port in self.ports]


def stick(hardware, speed):
    gadget = hardware.usb(plug=False, port=0, speed=speed)
    image = hardware.directory / "image"
    image.write_bytes(bytes(1 << 20))
    gadget.add(Storage, image=image)
    return gadget


@pytest.mark.parametrize("speed, half", [("high-speed", 0), ("super-speed", 1)])
def test_both_halves_of_a_socket_are_switched_and_tell_the_truth(hardware, serve, speed, half):
    """Whichever of them is named, and whichever has the device. Without the rule for ports the agent asks the hubs."""
    socket = Socket()
    for port in socket.ports:
        port.joinpath("disable").chmod(0o644)
    gadget = stick(hardware, speed)
    gadget.plug()
    assert gadget.sysfs().name == socket.paths[half] and socket.powered()
    exporter = serve({"hs": {"type": "usb-port", "config": {"path": socket.paths[0]}},
                      "ss": {"type": "usb-port", "config": {"path": socket.paths[1]}}})
    with client(exporter.endpoint) as root:
        for port, other in ((root.hs, root.ss), (root.ss, root.hs)):
            port.off()
            assert [port.call("status"), other.call("status")] == ["off", "off"]
            wait_until(lambda: not socket.powered(), PLUG_TIMEOUT, "the device still has power")
            port.on()
            assert [port.call("status"), other.call("status")] == ["on", "on"]
            wait_until(socket.powered, PLUG_TIMEOUT, "the device has no power")
    exporter.program.wait_line(f"port {socket.paths[0]} and its other half {socket.paths[1]} switched off")


@pytest.fixture
def words(build):
    return lambda exporter: [build / "ctl/jmpctl", "--tls-grpc", exporter.endpoint, "--tls-grpc-insecure"]


def test_the_kernel_is_asked_where_we_may(hardware, serve, words, place):
    """By the rule for ports: then it takes the device away in order, from whoever has it, and brings it back."""
    socket = Socket()
    gadget = stick(hardware, "super-speed")
    gadget.plug()
    device = gadget.sysfs()
    for port in socket.ports:       # the rule, again for what the test above has taken away
        run(["udevadm", "trigger", "--action=add", port.parent], env=place.env).ok()
    settle()
    exporter = serve({"usb": entry(device), "power": {"type": "usb-port", "config": {"path": socket.paths[1]}}})
    copy = Attached(place, words(exporter), "usb")
    with client(exporter.endpoint) as root:
        assert device.exists() and socket.disabled() == ["0", "0"]
        root.power.off()
        assert socket.disabled() == ["1", "1"] and root.power.call("status") == "off"
        wait_until(lambda: not device.exists(), PLUG_TIMEOUT, "the kernel still has the device")
        wait_until(lambda: not copy.sysfs(), PLUG_TIMEOUT, "its user still has the device")
        root.usb.port.on()
        assert socket.disabled() == ["0", "0"] and root.power.call("status") == "on"
        copy.wait()
    copy.detach()
