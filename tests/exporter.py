"""
A small exporter, as somebody might write one for Sora: counters of every connection in Prometheus' text format.

It knows nothing of the harness. SORA_URL says whom to ask; each line of stdin, and the end of it, is a scrape.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request

COUNTERS = {
    "rtp": ("total_received_rtp", "total_received_rtp_byte_size", "total_sent_rtp", "total_sent_rtp_byte_size"),
    "rtcp": ("total_received_rtcp", "total_sent_rtcp"),
    "turn": ("total_received_channel_data", "total_sent_channel_data"),
}
LABELS = ("channel_id", "client_id", "connection_id")


def scrape(url: str) -> list[str]:
    """Ask for all connections, and give the lines of one scrape."""
    headers = {"x-sora-target": "Sora_20171101.GetStatsAllConnections"}
    with urllib.request.urlopen(urllib.request.Request(url, method="POST", headers=headers), timeout=10) as response:
        connections = json.load(response)
    lines = [f"sora_connections {len(connections)}"]
    for connection in connections:
        labels = ",".join(f"{name}={json.dumps(connection[name], ensure_ascii=False)}" for name in LABELS)
        for group, names in COUNTERS.items():
            lines += [f"sora_{group}_{name}{{{labels}}} {connection[group][name]}" for name in names]
    return lines


def main() -> int:
    """Scrape until stdin ends; 1 where the server's response is not to be used."""
    for _ in [*sys.stdin, ""]:
        try:
            print("\n".join(scrape(os.environ["SORA_URL"])), flush=True)
        except (OSError, ValueError, KeyError) as error:
            print(f"exporter: {type(error).__name__}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
