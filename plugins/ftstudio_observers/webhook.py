"""A POST of JSON when a run ends: which run and how; never data or samples.

    {"id": "gpu03/poems:0007/4711", "project": "poems", "run": "0007", "attempt": 1, "host": "gpu03",
     "state": "finished", "t": 1795648943.1}

The address comes from the environment variable FTSTUDIO_WEBHOOK_URL and is in no sentence, file or argument: who knows
it may post there. A try that got no answer, or 408, 429 or 5xx, is repeated; each carries the same `Idempotency-Key`,
so a receiver can tell a repeat, also one that comes from a replay. Redirects are not followed.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from ftstudio.api import ComponentError, Event, RunInfo
from ftstudio_observers.options import FIRST_WAIT, WEBHOOK_URL, WebhookOptions

AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A POST that is redirected would become a GET without its body, to an address that nobody named."""

    def redirect_request(self, *arguments: Any, **more: Any) -> None:
        """Follow none."""


class Webhook:
    """Tells the ends of a run to an address."""

    def __init__(self, options: WebhookOptions) -> None:
        self.options = options
        self._send = urllib.request.build_opener(_NoRedirects).open

    def open(self, run: RunInfo, after_seq: int) -> None:
        """Look at the address before it is needed. Raises ComponentError when it is none."""
        self.run = run
        scheme, _, rest = os.environ[WEBHOOK_URL].partition("://")
        if scheme.lower() not in {"http", "https"} or not rest.strip("/"):
            raise ComponentError(f"{WEBHOOK_URL} holds no http or https address.", f"export {WEBHOOK_URL}=https://...")

    def on_event(self, event: Event) -> None:
        """Tell an end that is to be told. Raises ComponentError."""
        if event.kind == "state" and event.data.get("state") in self.options.endings:
            self._post(self._body(event))

    def close(self) -> None:
        """Nothing waits."""

    def _body(self, event: Event) -> dict[str, Any]:
        """The same for the same event whenever it is told, so that a repeat is one."""
        run = self.run
        body = {
            "id": f"{run.host}/{run.project}:{run.run}/{event.seq}",
            "project": run.project,
            "run": run.run,
            "attempt": event.attempt,
            "host": run.host,
            "state": event.data.get("state"),
            "t": event.t,
        }
        return body | ({"reason": str(event.data.get("reason", ""))} if self.options.reason else {})

    def _post(self, body: Mapping[str, Any]) -> None:
        """Send until it is taken. Raises ComponentError with what came of the last try, without the address."""
        said, wait = "", FIRST_WAIT
        for left in range(self.options.retries, -1, -1):
            said, again = self._try(body)
            if not said:
                return
            if not again or not left:
                break
            time.sleep(wait)
            wait *= 2
        raise ComponentError(f"The webhook did not take the end of the run: {said}.", f"Look at {WEBHOOK_URL}.")

    def _try(self, body: Mapping[str, Any]) -> tuple[str, bool]:
        """What went wrong, "" for nothing, and whether another try may help."""
        try:
            request = urllib.request.Request(  # noqa: S310 - only http and https come this far
                os.environ[WEBHOOK_URL],
                data=json.dumps(body, allow_nan=False).encode(),
                headers={"Content-Type": "application/json", "Idempotency-Key": str(body["id"])},
                method="POST",
            )
            with self._send(request, timeout=self.options.timeout_seconds):
                return "", False
        except urllib.error.HTTPError as error:
            error.close()
            return f"it answered {error.code}", error.code in AGAIN
        except (OSError, http.client.HTTPException) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            words = cause.strerror if isinstance(cause, OSError) and cause.strerror else type(cause).__name__
            return f"it could not be reached ({words})", True
        except ValueError:
            return f"{WEBHOOK_URL} holds no address that can be used", False
