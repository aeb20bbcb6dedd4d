# SPDX-License-Identifier: Apache-2.0
"""A USB device as a program without a driver has it: the kernel's usbfs, transfer by transfer."""

import ctypes
import os
import select
from pathlib import Path

CONTROL, BULK, SET_INTERFACE, SUBMIT, DISCARD, REAP, CLAIM, RESET = (
    0xc0185500, 0xc0185502, 0x80085504, 0x8038550a, 0x550b, 0x4008550c, 0x8004550f, 0x5514)
ISOCHRONOUS_TYPE, BULK_TYPE = 0, 3
ALL_AT_ONCE = 2     # the kernel chooses the frame

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]


class Request(ctypes.Structure):
    _fields_ = [("type", ctypes.c_uint8), ("request", ctypes.c_uint8), ("value", ctypes.c_uint16),
                ("index", ctypes.c_uint16), ("size", ctypes.c_uint16), ("timeout", ctypes.c_uint32),
                ("data", ctypes.c_void_p)]


class Bulk(ctypes.Structure):
    _fields_ = [("endpoint", ctypes.c_uint), ("size", ctypes.c_uint), ("timeout", ctypes.c_uint), ("data", ctypes.c_void_p)]


class Packet(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("actual", ctypes.c_uint), ("status", ctypes.c_int)]


class Transfer(ctypes.Structure):
    """`content` is its buffer, and packets lie in it where they were told to."""

    _fields_ = [("type", ctypes.c_ubyte), ("endpoint", ctypes.c_ubyte), ("status", ctypes.c_int), ("flags", ctypes.c_uint),
                ("buffer", ctypes.c_void_p), ("size", ctypes.c_int), ("actual", ctypes.c_int), ("frame", ctypes.c_int),
                ("count", ctypes.c_int), ("errors", ctypes.c_int), ("signal", ctypes.c_uint), ("user", ctypes.c_void_p),
                ("packets", Packet * 32)]

    def arrived(self):
        """The packets that came with something in them."""
        at, found = 0, []
        for packet in self.packets[:self.count]:
            if packet.actual:
                found.append(self.content.raw[at:at + packet.actual])
            at += packet.size
        return found


class UsbFs:
    """Time-outs are milliseconds; one that is over is a TimeoutError."""

    def __init__(self, sysfs):
        bus, address = (int((Path(sysfs) / name).read_text()) for name in ("busnum", "devnum"))
        self.fd = os.open(f"/dev/bus/usb/{bus:03}/{address:03}", os.O_RDWR)
        self.pending = {}

    def _ioctl(self, request, argument):
        done = _libc.ioctl(self.fd, request, argument)
        if done < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return done

    def claim(self, interface=0):
        self._ioctl(CLAIM, ctypes.byref(ctypes.c_uint(interface)))

    def set_interface(self, setting, interface=0):
        self._ioctl(SET_INTERFACE, (ctypes.c_uint * 2)(interface, setting))

    def reset(self):
        self._ioctl(RESET, None)

    def control(self, request_type, request, value=0, index=0, size=0, timeout=60000):
        """What came."""
        data = ctypes.create_string_buffer(max(size, 1))
        done = self._ioctl(CONTROL, ctypes.byref(Request(request_type, request, value, index, size, timeout,
                                                         ctypes.addressof(data))))
        return data.raw[:done]

    def bulk(self, endpoint, size, timeout=60000):
        """What came."""
        data = ctypes.create_string_buffer(size)
        done = self._ioctl(BULK, ctypes.byref(Bulk(endpoint, size, timeout, ctypes.addressof(data))))
        return data.raw[:done]

    def submit(self, kind, endpoint, content, packets=()):
        """`content`: bytes to be sent, or how many to take; `packets`: their sizes."""
        content = ctypes.create_string_buffer(content, *([len(content)] if isinstance(content, bytes) else []))
        transfer = Transfer(type=kind, endpoint=endpoint, flags=ALL_AT_ONCE if packets else 0,
                            buffer=ctypes.addressof(content), size=len(content), count=len(packets))
        transfer.content = content
        for packet, size in zip(transfer.packets, packets):
            packet.size = size
        self._ioctl(SUBMIT, ctypes.byref(transfer))
        self.pending[ctypes.addressof(transfer)] = transfer
        return transfer

    def discard(self, transfer):
        """Calls it back; it is reaped all the same."""
        self._ioctl(DISCARD, ctypes.byref(transfer))

    def reap(self, timeout=60):
        """The next transfer that is done."""
        assert select.select([], [self.fd], [], timeout)[1], f"no transfer was done within {timeout} s"
        pointer = ctypes.c_void_p()
        self._ioctl(REAP, ctypes.byref(pointer))
        return self.pending.pop(pointer.value)

    def close(self):
        os.close(self.fd)
