"""The built-in observers: a table of metrics, TensorBoard's files, a word to a webhook at the end."""

from __future__ import annotations

from collections.abc import Iterator

from ftstudio.api import Component, hookimpl
from ftstudio_observers.light import INSTALL
from ftstudio_observers.options import WEBHOOK_URL, CsvOptions, TensorBoardOptions, WebhookOptions


@hookimpl
def ftstudio_observers() -> Iterator[Component]:
    """Describe them."""
    yield Component(
        name="csv",
        summary="metrics.csv in the run's folder, one row a step",
        target="ftstudio_observers.csv:Csv",
        options=CsvOptions,
    )
    yield Component(
        name="tensorboard",
        summary="files for TensorBoard, in tensorboard/ of the run's folder",
        target="ftstudio_observers.tensorboard:TensorBoard",
        options=TensorBoardOptions,
        check="ftstudio_observers.light:check_tensorboard",
        install_hint=INSTALL,
    )
    yield Component(
        name="webhook",
        summary="a POST of JSON when a run finishes or fails; never data or samples",
        target="ftstudio_observers.webhook:Webhook",
        options=WebhookOptions,
        check="ftstudio_observers.light:check_webhook",
        secrets=(WEBHOOK_URL,),
    )
