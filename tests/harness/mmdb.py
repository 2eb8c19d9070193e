# SPDX-License-Identifier: Apache-2.0
"""Writes MaxMind DB files (format 2.0), so that tests have a GeoIP database and the repository has none.

As a program: mmdb.py FILE, with {"network": record, ...} as JSON on standard input.
"""
import ipaddress
import json
import struct
import sys

RECORD_BITS = 28
DATA_SEPARATOR_SIZE = 16  # between the tree and the data; pointers into the data count it


class Uint(int):
    """An integer with the width that the format asks of some fields."""

    def __new__(cls, value, bits):
        self = super().__new__(cls, value)
        self.bits = bits
        return self


def _control(kind, size):
    """The control byte of a value, its extended type, its size."""
    extended = bytes([kind - 7]) if kind > 7 else b""
    size_byte, more = (size, b"") if size < 29 else (29, bytes([size - 29]))
    assert size < 29 + 256, "longer values are of no use to a test"
    return bytes([(0 if kind > 7 else kind) << 5 | size_byte]) + extended + more


def _encode_uint(value):
    kind = {16: 5, 32: 6, 64: 9}[value.bits]
    data = int(value).to_bytes(8, "big").lstrip(b"\0")
    return _control(kind, len(data)) + data


def encode(value):
    """A value as the data section holds it. Plain integers are uint32."""
    if isinstance(value, bool):
        return _control(14, int(value))
    if isinstance(value, int):
        return _encode_uint(value if isinstance(value, Uint) else Uint(value, 32))
    if isinstance(value, float):
        return _control(3, 8) + struct.pack(">d", value)
    if isinstance(value, str):
        return _control(2, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return _control(11, len(value)) + b"".join(map(encode, value))
    return _control(7, len(value)) + b"".join(encode(key) + encode(entry) for key, entry in value.items())


class _Tree:
    """The search tree: nodes of two records, each None, the index of a node, or ("data", offset)."""

    def __init__(self):
        self.nodes = [[None, None]]

    def insert(self, bits, data):
        node = self.nodes[0]
        for bit in bits[:-1]:
            if not isinstance(node[bit], int):  # a wider network's data goes to both of its halves
                self.nodes.append([node[bit], node[bit]])
                node[bit] = len(self.nodes) - 1
            node = self.nodes[node[bit]]
        node[bits[-1]] = data

    def _record(self, record):
        if record is None:
            return len(self.nodes)
        return record if isinstance(record, int) else len(self.nodes) + DATA_SEPARATOR_SIZE + record[1]

    def encode(self):
        packed = bytearray()
        for left, right in (map(self._record, node) for node in self.nodes):
            packed += (left & 0xFFFFFF).to_bytes(3, "big") + bytes([left >> 24 << 4 | right >> 24])
            packed += (right & 0xFFFFFF).to_bytes(3, "big")
        return bytes(packed)


def _bits(network):
    """The path to a network in a tree of IPv6 addresses, where IPv4 is ::/96."""
    network = ipaddress.ip_network(network)
    pad = 96 if network.version == 4 else 0
    address = int(network.network_address)
    return [address >> (127 - i) & 1 for i in range(pad + network.prefixlen)]


def write(path, networks, database_type="Test-City"):
    """networks: {"192.0.2.0/24": record, "2001:db8::/32": record}; the most specific network wins."""
    tree, data = _Tree(), b""
    for network in sorted(networks, key=lambda text: len(_bits(text))):
        tree.insert(_bits(network), ("data", len(data)))
        data += encode(networks[network])
    metadata = {
        "binary_format_major_version": Uint(2, 16),
        "binary_format_minor_version": Uint(0, 16),
        "build_epoch": Uint(1700000000, 64),
        "database_type": database_type,
        "description": {"en": "written by a test"},
        "ip_version": Uint(6, 16),
        "languages": ["en"],
        "node_count": Uint(len(tree.nodes), 32),
        "record_size": Uint(RECORD_BITS, 16),
    }
    with open(path, "wb") as file:
        file.write(tree.encode() + bytes(DATA_SEPARATOR_SIZE) + data)
        file.write(b"\xab\xcd\xefMaxMind.com" + encode(metadata))


if __name__ == "__main__":
    write(sys.argv[1], json.load(sys.stdin))
