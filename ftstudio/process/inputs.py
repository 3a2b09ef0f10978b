"""What an attempt works on: written into inputs.toml, and held against what the run was trained on so far.

Data that changed, and a base model that changed where it still counts, are refused unless somebody accepted that.
The base counts for an adapter, and for what begins at the beginning; a whole model's checkpoint needs none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from ftstudio.errors import NotResumedError
from ftstudio.files import read_toml
from ftstudio.process.data import Prepared
from ftstudio.process.worker_run import WorkerRun
from ftstudio.runs.checkpoints import versions
from ftstudio.runs.control import asked
from ftstudio.text import safe_text


def inputs_of(prepared: Prepared, run: WorkerRun) -> dict[str, Any]:
    """inputs.toml: what this attempt really works on."""
    torch = sys.modules.get("torch")
    return {
        "attempt": run.info.attempt,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads() if torch else None,
        "devices": list(run.devices),
        "versions": versions(),
        "data": {"fingerprint": prepared.fingerprint, "shape": prepared.encoded.shape, **prepared.encoded.counts},
        "model": {
            "name": prepared.model.name,
            "revision": prepared.model.revision,
            "path": str(prepared.model.path),
            "weights": prepared.model.weights,
            "sha256": hashes(prepared.model.path),
        },
    }


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of the config and of each weights file: 0.3 s for GPT-2."""
    found = {}
    for path in sorted([*folder.glob("config.json"), *folder.glob("*.safetensors")]):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def pinned(run: WorkerRun, options: Any) -> Any:
    """The options of the model source, at the commit that was trained on: a branch may have moved since.

    Of a fork they are those of today, and only a revision that they leave open is filled in, for an adapter.
    """
    if not isinstance(getattr(options, "revision", 0), (str, NoneType)):
        return options
    before, _ = _read(run.folder.inputs)
    base = run.resume_from.base if run.resume_from is not None and options.revision is None else None
    name, revision = (before["model"].get(k) for k in ("name", "revision")) if before else (None, None)
    if base is not None and not revision:
        name, revision = base.name, base.revision
    if not revision or name != getattr(options, "name", None):
        return options
    return dataclasses.replace(options, revision=str(revision))


def compare_inputs(run: WorkerRun, inputs: Mapping[str, Any], *, exact: bool) -> None:
    """Hold what this attempt works on against what was trained on before it: by this run, or by the one it forks.

    Raises NotResumedError for a change that nobody accepted; what was accepted is said, and what keeps the result from
    being the same to the bit.
    """
    before, trouble = _read(run.folder.inputs)
    has_trained = run.resume_from is not None and run.resume_from.path.parent == run.folder.checkpoints
    if before is not None:
        _compare_with(run, before, inputs)
    elif has_trained:
        said = f"inputs.toml, which says what this run was trained on, {trouble}: "
        _refuse(run, f"{said}nobody can tell whether the data and the base model are the same.")
    elif run.lineage:
        _compare_with_parent(run, inputs)
    if before is not None or has_trained:
        _say_what_differs(run, before or {}, inputs, exact=exact)


def check_base(run: WorkerRun, now: Mapping[str, str]) -> None:
    """Hold the base model of a fork's adapter against the one that the adapter was trained on.

    Raises NotResumedError when it is another one and nobody accepted that.
    """
    parent, before = run.lineage.get("run"), run.lineage.get("base")
    if not before:
        run.warn(f"Nobody can tell whether the base model is the one that {parent} was trained on.")
    elif before != now:
        said = f"The base model is not the one that {parent} was trained on ({_names(before, now)}), and its adapter "
        _refuse(run, f"{said}means nothing over another one.")


def _compare_with(run: WorkerRun, before: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """With what the attempt before worked on."""
    if before["data"]["fingerprint"] != inputs["data"]["fingerprint"]:
        _refuse(run, "The data changed since this run began, so going on would train on something else.")
    old, new = before["model"]["sha256"], inputs["model"]["sha256"]
    if old == new or not inputs["model"]["weights"]:
        return
    said = f"The base model changed since this run began ({_names(old, new)})"
    if run.resume_from is None or _is_adapter(run.resume_from.path):
        _refuse(run, f"{said}, so going on would train something else.")
    else:
        run.warn(f"{said}. Its checkpoint holds all weights, so it goes on from those.")


def _compare_with_parent(run: WorkerRun, inputs: Mapping[str, Any]) -> None:
    """With what the run was trained on that this one goes out from."""
    if run.lineage.get("data") is None:
        run.warn(f"Nobody can tell whether the data are those that {run.lineage.get('run')} was trained on.")
    elif run.lineage["data"] != inputs["data"]["fingerprint"]:
        run.warn(f"The data are not those that {run.lineage.get('run')} was trained on.")
    if run.resume_from is not None and _is_adapter(run.resume_from.path) and inputs["model"]["weights"]:
        check_base(run, inputs["model"]["sha256"])


def _refuse(run: WorkerRun, sentence: str) -> None:
    """Raise NotResumedError, or say what was accepted."""
    if not asked(run.folder, "accept-changed-data", run.info.attempt):
        raise NotResumedError(
            sentence, "Put back what was there, start a new run, or resume this one with --accept-changed-data."
        )
    run.warn(f"Accepted: {sentence}")


def _say_what_differs(run: WorkerRun, before: Mapping[str, Any], inputs: Mapping[str, Any], *, exact: bool) -> None:
    same = {name: (before.get(name), inputs[name]) for name in ("threads", "devices")}
    old_versions, new_versions = before.get("versions", {}), inputs["versions"]
    same |= {n: (old_versions.get(n), new_versions[n]) for n in ("torch", "transformers") if n in new_versions}
    changed = [f"{name} {a} is now {b}" for name, (a, b) in same.items() if a is not None and a != b]
    if not exact:
        run.warn(f"{run.trainer_title} does not promise to go on to the same bits as without the interruption.")
    elif changed:
        run.warn(f"Not the same to the bit as without the interruption: {', '.join(changed)}.")


def _read(file: Path) -> tuple[Mapping[str, Any] | None, str]:
    """inputs.toml; None, and what is the matter with it, where it does not say what was trained on."""
    try:
        table = read_toml(file)
    except FileNotFoundError:
        return None, "is missing"
    except (OSError, ValueError) as error:
        return None, f"cannot be read ({safe_text(error, one_line=True)[:200]})"
    data, model, found = (table.get(name) for name in ("data", "model", "versions"))
    if not (isinstance(data, dict) and "fingerprint" in data and isinstance(found, dict)):
        return None, "is damaged"
    return (table, "") if isinstance(model, dict) and isinstance(model.get("sha256"), dict) else (None, "is damaged")


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _names(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Which files differ, in words."""
    return ", ".join(name for name in sorted({*before, *now}) if before.get(name) != now.get(name))[:200]
