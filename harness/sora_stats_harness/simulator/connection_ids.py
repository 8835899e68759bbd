"""
The connection_ids of simulated connections, in the form that real servers use: a UUID of version 4 in Clockwork Base32.

Ids come from the caller's random source, so that one seed always gives the same ones.
"""

from __future__ import annotations

from random import Random
from typing import Final

from ..api.edition_rules import CLOCKWORK_BASE32_ALPHABET

_ID_LENGTH: Final = 26


def draw_connection_id(random: Random) -> str:
    """
    Draw an id: 26 characters, the last one of `0 4 8 C G M R W`, since 130 bits carry the UUID's 128.

    >>> draw_connection_id(Random(1))
    'SNGKWC6RY55DZ4DQB1524SDHYM'
    """
    bits = random.getrandbits(128)
    bits = bits & ~(0xF << 76) | (4 << 76)  # version 4: RFC 9562, 5.4
    bits = bits & ~(0b11 << 62) | (0b10 << 62)  # the variant that RFC 9562 defines
    bits <<= 5 * _ID_LENGTH - 128
    return "".join(CLOCKWORK_BASE32_ALPHABET[bits >> 5 * place & 31] for place in reversed(range(_ID_LENGTH)))
