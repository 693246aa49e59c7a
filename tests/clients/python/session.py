"""What pyscard does with the card in the reader named: lists, selects, sends extended commands, resets."""

import sys

from smartcard.scard import SCARD_PROTOCOL_ANY, SCARD_RESET_CARD, SCARD_S_SUCCESS, SCARD_SHARE_SHARED, SCardReconnect
from smartcard.System import readers
from smartcard.util import toHexString
from smartcard.pcsc.PCSCPart10 import getTlvProperties

name, limit = sys.argv[1:]
found = [reader for reader in readers() if str(reader) == name]
assert len(found) == 1, readers()
connection = found[0].createConnection()
connection.connect()
assert toHexString(connection.getATR()) == "3B 85 80 01 80 73 C0 01 40 76", connection.getATR()

MANAGER = [0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00]


def send(command, wanted):
    data, sw1, sw2 = connection.transmit(command)
    assert sw1 << 8 | sw2 == wanted, f"{sw1:02X}{sw2:02X} to {toHexString(command[:16])}"
    return data


# The card manager, with short and with extended lengths: the same answer.
short = send([0x00, 0xA4, 0x04, 0x00, 0x08] + MANAGER + [0x00], 0x9000)
extended = send([0x00, 0xA4, 0x04, 0x00, 0x00, 0x00, 0x08] + MANAGER + [0x00, 0x00], 0x9000)
assert short == extended and short[:2] == [0x6F, len(short) - 2]
send([0x00, 0xA4, 0x04, 0x00, 0x05, 0xF0, 0, 0, 0, 1], 0x6A82)

# As much as fits into a message: the card has it whole, or the lengths would not agree (6700).
size = 65535 - 7
send([0x80, 0xE8, 0x80, 0x00, 0x00, size >> 8, size & 0xFF] + [0xA5] * size, 0x6982)
send([0x80, 0xE8, 0x80, 0x00, 0x00, size >> 8, size & 0xFF] + [0xA5] * (size - 1), 0x6700)

# A handshake that a reset ends: the proof that follows finds none.
proof = [0x84, 0x82, 0x01, 0x00, 0x10] + [0] * 16
update = [0x80, 0x50, 0x00, 0x00, 0x08] + [7] * 8 + [0x00]
send(update, 0x9000)
send(proof, 0x6300)
send(update, 0x9000)
result, _ = SCardReconnect(connection.component.hcard, SCARD_SHARE_SHARED, SCARD_PROTOCOL_ANY, SCARD_RESET_CARD)
assert result == SCARD_S_SUCCESS, result
send(proof, 0x6985)

if limit != "none":
    properties = getTlvProperties(connection)
    assert properties["PCSCv2_PART10_PROPERTY_dwMaxAPDUDataSize"] == int(limit), properties
print("done")
