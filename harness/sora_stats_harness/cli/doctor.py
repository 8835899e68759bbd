"""`sora-harness doctor`: what is at a URL, from at most three polite requests, and what to type next."""

from __future__ import annotations

import json
import sys
from typing import Final

from ..api.errors import ExitCode, UsageError
from ..api.language import translate
from ..api.server_url import EXAMPLE_URL
from . import command_support as common
from . import options
from .framework import Arguments, Command, flag, group
from .output import write_message, write_output

EXAMPLES: Final = """\
examples:
  sora-harness doctor http://127.0.0.1:3000
  sora-harness doctor https://sora.example --header 'Authorization: env:SORA_TOKEN'
  sora-harness doctor http://127.0.0.1:3000 --wait 30s      exits 0 as soon as there is a connection to judge
"""


def run(arguments: Arguments) -> int:
    """Ask the server, and print the diagnosis; 0 if `conform` can judge what is there, 3 if it can't."""
    from ..probe.doctor import diagnose, requests_about
    from ..probe.plan_text import pace_text
    from ..probe.single_request import ProberAsk

    settings = options.read_settings(arguments)
    if settings.url is None:
        raise UsageError(f"doctor needs the URL of a server, such as {EXAMPLE_URL}")
    with common.JudgedRun(arguments, "doctor") as run, run.stack:
        ask = ProberAsk(run.new_prober, run.interrupt)
        visit = run.visit(ask, "sora-harness conform")
        if visit is None:
            write_message("sora-harness: interrupted\n", sys.stderr)
            return ExitCode.INCONCLUSIVE
        about = [each for request in requests_about(visit) if (each := ask(request)) is not None]
        response = visit.listing.response
        pace = None
        if response is not None and visit.problem is None:
            plan = settings.gate.make_plan([settings.url], run.headers, simulated=False)
            pace = pace_text(plan, (len(response.body), len(visit.connections)))
        rows = diagnose(visit, about=about, pace=pace)
        rows = {label: run.secrets.redact(text) for label, text in rows.items()}
    if arguments.json:
        write_output(f"{json.dumps(rows, indent=2, ensure_ascii=False)}\n")
    else:
        from ..reports.escaping import escape_terminal
        from ..reports.text_wrapping import columns, pad

        shown = [(translate(label), translate(escape_terminal(text))) for label, text in rows.items()]
        wide = max(columns(label) for label, _ in shown)
        write_output("".join(f"{pad(label, wide)}  {text}\n" for label, text in shown))
    return ExitCode.PASS if visit.problem is None else ExitCode.INCONCLUSIVE


command: Command = Command(
    "doctor",
    [
        *options.server_options(),
        *group(
            "options",
            options.wait_option(),
            options.config_option(),
            flag("--trust-config", "let the configuration of this folder name secrets for the server that it names"),
            flag("--json", "print the rows as JSON"),
        ),
    ],
    examples=EXAMPLES,
    run=run,
)
