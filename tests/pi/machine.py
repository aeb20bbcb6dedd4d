# SPDX-License-Identifier: Apache-2.0
"""An emulated machine: its console, its pins as its board sees them, and the board at its serial port."""

import re
import socket
import subprocess
import time
from pathlib import Path

PROMPT = b"root@raspberrypi:~# "


class MachineError(AssertionError):
    pass


class Wire:
    """Bytes to and from a socket of QEMU's; everything that came is kept."""

    def __init__(self, path, deadline):
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    raise MachineError(f"QEMU did not open {path.name}") from None
                time.sleep(0.05)
        self.seen = b""

    def send(self, data):
        self.socket.sendall(data)

    def expect(self, pattern, timeout):
        """What came up to and with the pattern, as a match object; the rest stays for the next one."""
        deadline = time.monotonic() + timeout
        while True:
            match = re.search(pattern, self.seen)
            if match:
                self.seen = self.seen[match.end():]
                return match
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                data = None
            except ConnectionResetError:
                data = b""
            if not data:
                end = "the machine has ended" if data == b"" else f"not within {timeout} s"
                raise MachineError(f"{end}: {pattern!r}; the last it said:\n"
                                   + self.seen[-3000:].decode(errors="replace"))
            self.seen += data


class Machine:
    """`kind` is "virt", which is fast and has a PL061 with eight lines, an FTDI adapter and a network, or "raspi3b", a
    Raspberry Pi 3 with its BCM2835, slow and alone: of its systemd only the console's shell is started."""

    def __init__(self, kind, arch, kernel, disk, place):
        self.kind, self.arch = kind, arch
        sockets = {name: Path(place) / f"{name}.sock" for name in ("console", "board", "monitor")}
        chardevs = [part for name, path in sockets.items()
                    for part in ("-chardev", f"socket,id={name},path={path},server=on,wait=off")]
        append = "rw quiet loglevel=1 systemd.show_status=no systemd.log_target=journal net.ifnames=0"
        if kind == "raspi3b":
            machine = ["-M", "raspi3b", "-dtb", f"{kernel}/bcm2837-rpi-3-b.dtb", "-serial", "chardev:board", "-serial",
                       "chardev:console", "-drive", f"file={disk},if=sd,format=raw"]
            # With more than one processor the emulated board stalls.
            append += " console=ttyS1,115200 maxcpus=1 root=/dev/mmcblk0 systemd.unit=console-shell.service"
        else:
            cpu = "cortex-a53" if arch == "arm64" else "cortex-a15"
            machine = ["-M", "virt", "-cpu", cpu, "-m", "512", "-serial", "chardev:console",
                       "-drive", f"file={disk},if=virtio,format=raw", "-netdev", "user,id=net",
                       "-device", "virtio-net-device,netdev=net",
                       "-device", "qemu-xhci", "-device", "usb-serial,chardev=board"]
            append += " console=ttyAMA0 root=/dev/vda"
        program = "qemu-system-aarch64" if arch == "arm64" else "qemu-system-arm"
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", program, "-display", "none", *chardevs, "-mon", "chardev=monitor",
             *machine, "-kernel", f"{kernel}/vmlinuz", "-initrd", f"{kernel}/initrd", "-append", append],
            stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        self.board = Wire(sockets["board"], deadline)
        self.monitor = Wire(sockets["monitor"], deadline)
        self.console = Wire(sockets["console"], deadline)
        self.monitor.expect(rb"\(qemu\) ", 30)

    def log_in(self, timeout):
        """Waits for the shell; returns the seconds since power-on."""
        self.console.expect(re.escape(PROMPT), timeout)
        taken = time.monotonic() - self.started
        self.console.send(b"stty -echo -onlcr; bind 'set enable-bracketed-paste off' 2>/dev/null; PS1=; PS2=\n")
        self.run("true", 60)
        return taken

    def attempt(self, script, timeout=120):
        """Runs a script in a shell of its own; returns its status and what it printed."""
        # Here-documents keep the console's line discipline out of long lines; the marks are not in what is typed.
        self.console.send(b"cat >/run/console-script <<'END-OF-SCRIPT'\n" + script.encode() + b"\nEND-OF-SCRIPT\n"
                          + b"echo; printf '@@%s\\n' begin; bash /run/console-script </dev/null 2>&1; printf '@@%s %d\\n' end $?\n")
        self.console.expect(rb"@@begin\r?\n", timeout)
        match = self.console.expect(rb"(?s)^(.*?)@@end (\d+)\r?\n", timeout)
        return int(match[2]), match[1].decode(errors="replace").replace("\r\n", "\n")

    def run(self, script, timeout=120):
        status, text = self.attempt(script, timeout)
        if status:
            raise MachineError(f"status {status} in the {self.arch} machine: {script}\n{text}")
        return text.strip()

    def register(self, address):
        """A register of 32 bits, read as a debugger on the bus would."""
        self.monitor.send(f"xp /1wx {address:#x}\n".encode())
        return int(self.monitor.expect(rb"[0-9a-f]+: 0x([0-9a-f]{8})\r?\n", 30)[1], 16)

    def pin(self, line):
        """The level at a pin, looked at from outside: GPLEV0 of the BCM2835, or the PL061's data register."""
        if self.kind == "raspi3b":
            return self.register(0x3f200034) >> line & 1
        return self.register(0x09030000 + 0x3fc) >> line & 1

    def press(self):
        """The button of "virt", at line 3 of its PL061: high for a tenth of a second."""
        self.monitor.send(b"system_powerdown\n")
        self.monitor.expect(rb"\(qemu\) ", 30)

    def close(self):
        self.process.kill()
        self.process.wait()
