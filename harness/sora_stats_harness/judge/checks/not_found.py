"""How a server says that an id is unknown to it: 400 with an error_type, which is neither right nor wrong by itself."""

from __future__ import annotations

from ...api import strict_json
from ...api.exchange import Response, Target


def is_accepted_not_found(target: Target, response: Response) -> bool:
    """Whether a response says, in a way that is accepted, that an id is unknown."""
    if response.status != 400 or target is Target.ALL:
        return False
    try:
        value = strict_json.parse_strict_json(response.body).value
    except strict_json.JsonLimitError:
        return True  # nobody knows what it says
    except strict_json.StrictJsonError:
        return False
    return isinstance(value, dict) and isinstance(value.get("error_type"), str)
