# SPDX-License-Identifier: Apache-2.0
"""Protobuf messages that no honest peer would send."""


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, data):
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def nested_lists(levels):
    """A Value that holds a list that holds ...: field 6 of Value, field 1 of ListValue."""
    # built from the inside; only the lengths differ, so they are collected and joined once
    heads, size = [], 0
    for _ in range(levels):
        inner = b"\x0a" + varint(size)
        head = b"\x32" + varint(len(inner) + size) + inner
        heads.append(head)
        size += len(head)
    return b"".join(reversed(heads))


def nested_structs(levels):
    """The same with objects: field 5 of Value, field 1 of Struct, an entry whose value (2) is the next Value."""
    heads, size = [], 0
    for _ in range(levels):
        value = b"\x12" + varint(size)
        entry = b"\x0a\x01k" + value
        fields = b"\x0a" + varint(len(entry) + size) + entry
        head = b"\x2a" + varint(len(fields) + size) + fields
        heads.append(head)
        size += len(head)
    return b"".join(reversed(heads))
