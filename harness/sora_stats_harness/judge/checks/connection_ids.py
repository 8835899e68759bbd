"""
The form of a connection_id: a UUIDv4 in Clockwork Base32, as public captures show it.
"""

from __future__ import annotations

import re
from typing import Final

CONNECTION_ID_PATTERN: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{25}[048CGMRW]")
"""26 characters carry 130 bits; a UUID has 128, so the last is one of eight."""
