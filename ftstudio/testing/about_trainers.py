"""Checks of trainers: steps, requests, resume, plan, export."""

from __future__ import annotations

import math
import shutil
from typing import Any

from ftstudio.api import Checkpoint, Plan
from ftstudio.runs.checkpoints import check_content
from ftstudio.testing.about_descriptions import light_answers
from ftstudio.testing.fake_run import FakeRequests, FakeRun
from ftstudio.testing.subject import CheckFailed, CheckSkipped, Subject, as_findings, check, named, place_of
from ftstudio.testing.weights import distance, weights_of
from ftstudio.testing.working import WORKING

ASKED_AT = 2
"""The step at whose end something is asked for."""
SOON = 5
"""Steps within which a request is answered."""
ENOUGH = ASKED_AT + SOON + 1
"""Steps that an example must have, so that a request that is not heard can be told from the end."""

NEARER = 1.5
"""How much nearer to the base model than to its checkpoint a resumed run must be, until it is said."""


def enough_steps(subject: Subject) -> Checkpoint:
    """The result of the undisturbed run. Raises CheckFailed when it is too short for requests to be seen."""
    result: Checkpoint = subject.result()
    if result.step < ENOUGH:
        raise CheckFailed(
            f"The example run is over after {result.step} steps, too soon to see whether it hears a request. Give it "
            f"options for {ENOUGH} steps at least."
        )
    return result


@check("It logs a loss that is a number, at steps that go up", "trainer")
def logs_go_up(subject: Subject) -> None:
    """Charts and comparisons are made of it."""
    subject.result()
    logged = subject.outcome.run.metrics
    steps = [step for step, metrics in logged if "loss" in metrics]
    if not steps:
        raise CheckFailed("It never logged a loss: call run.log(step, loss=...) at step ends.")
    if steps != sorted(set(steps)):
        raise CheckFailed(f"It logged losses at the steps {steps[:8]}: each step once, in order.")
    for step, metrics in logged:
        odd = [name for name, value in metrics.items() if not math.isfinite(float(value))]
        if odd:
            raise CheckFailed(f"It logged {odd[0]} = {metrics[odd[0]]} at step {step}, though nothing was wrong.")


@check("It tells its progress, to the end", "trainer")
def progress_is_told(subject: Subject) -> None:
    """`status` and the studio show it; the remaining time comes from it."""
    result: Checkpoint = subject.result()
    told = [done for done, _, unit in subject.outcome.run.progressed if unit == "step"]
    if not told or told[-1] != result.step:
        raise CheckFailed(
            f"Its last word on progress is {told[-1] if told else 'none'}, but it ended at step {result.step}: call "
            "run.progress(step, total) at each step."
        )


@check("The base model is not changed, and a checkpoint stands alone", "trainer")
def base_is_untouched(subject: Subject) -> None:
    """The base model is sampled beside the result afterwards."""
    before = subject.supplies.model(subject.root / "untouched", "trainer")
    model = subject.arguments()[1]
    subject.result()
    files = [p for p in before.path.rglob("*") if p.is_file()]
    for path in files:
        mine = model.path / path.relative_to(before.path)
        if not mine.is_file() or mine.read_bytes() != path.read_bytes():
            raise CheckFailed(f"It changed {path.name} of the base model's folder: write into draft.path only.")


@check(f"A stop is heard within {SOON} steps, and leaves a checkpoint", "trainer")
def stop_is_heard(subject: Subject) -> None:
    """The request comes at the end of step 2; a trainer reads run.requests.stop at each step's end."""
    whole = enough_steps(subject)
    outcome = subject.again("When a stop was asked for", requests=FakeRequests(stop_at=ASKED_AT))
    with as_findings():
        BORDER(subject, outcome)
    step = outcome.result.step
    if step >= whole.step or step > ASKED_AT + SOON:
        raise CheckFailed(
            f"A stop was asked for at step {ASKED_AT}, and it went on to step {step}: read run.requests.stop at each "
            "step's end, commit and return."
        )


def BORDER(subject: Subject, outcome: Any) -> None:  # noqa: N802
    """What a run that was asked something must give back as well."""
    result = outcome.result
    if not isinstance(result, Checkpoint) or result not in outcome.run.checkpoints:
        raise CheckFailed("It returned no checkpoint of its own: commit one by run.checkpoint(step) and return it.")
    check_content(result.path, subject.offer.title)


@check(f"A checkpoint that is asked for comes within {SOON} steps, and the run goes on", "trainer")
def checkpoint_is_made(subject: Subject) -> None:
    """The request comes at the end of step 2; committing one answers it."""
    whole = enough_steps(subject)
    outcome = subject.again("When a checkpoint was asked for", requests=FakeRequests(checkpoint_at=ASKED_AT))
    usual = {c.step for c in subject.outcome.run.checkpoints}
    made = {c.step for c in outcome.run.checkpoints}
    soon = set(range(ASKED_AT, ASKED_AT + SOON + 1))
    if not (made - usual) & soon and not made & {ASKED_AT, ASKED_AT + 1}:  # an answer is one that else is not made
        raise CheckFailed(
            f"A checkpoint was asked for at step {ASKED_AT} and none came by step {ASKED_AT + SOON}: commit one when "
            "run.requests.checkpoint is set."
        )
    if outcome.result.step != whole.step:
        raise CheckFailed(f"After a checkpoint that was asked for it ended at step {outcome.result.step}, "
                          f"not {whole.step}.")  # fmt: skip


@check("A run that was stopped and resumed ends as one that was not", "trainer")
def resume_goes_on(subject: Subject) -> None:
    """It goes on at the checkpoint's step with the checkpoint's weights, to the same step; to the same bits where it
    says exact_resume. Steps before the stop are not done again.
    """
    whole = enough_steps(subject)
    stopped = _stopped_late(subject)
    resumed = subject.again("When it was resumed", resume_from=stopped)
    if resumed.result.step != whole.step:
        raise CheckFailed(f"Resumed from step {stopped.step} it ended at step {resumed.result.step}, "
                          f"not {whole.step}.")  # fmt: skip
    repeated = [step for step, metrics in resumed.run.metrics if "loss" in metrics and step <= stopped.step]
    if repeated:
        raise CheckFailed(
            f"Resumed from step {stopped.step} it logged step {repeated[0]} again: begin behind the checkpoint."
        )
    same = WORKING["trainer"].identity
    if subject.component.exact_resume and same(resumed.result) != same(whole):
        raise CheckFailed(
            "It says exact_resume, but ends with other weights when resumed. Save every state that the loop carries "
            "(optimizer, schedule, random generators, place in the data), or do not promise it."
        )
    _begins_at_the_checkpoint(subject, stopped)


def _stopped_late(subject: Subject) -> Checkpoint:
    """A checkpoint of a run that was stopped after three quarters of its steps: far from the base model, which a
    resume that begins with it again then shows.
    """
    looks = subject.outcome.run.requests.looks_for_stop
    if not looks:
        raise CheckSkipped("It never looks whether a stop was asked for, so there is nothing to resume from.")
    stop = FakeRequests(stop_at=max(1, looks * 3 // 4))
    stopped: Checkpoint = subject.again("When a stop was asked for", requests=stop).result
    return stopped


def _begins_at_the_checkpoint(subject: Subject, stopped: Checkpoint) -> None:
    """Two runs that stop as soon as they can, one from the base model and one from the checkpoint: as many steps
    further, and each near to what it began with. This can be asked also of trainers that promise no equal bits.
    """
    fresh, gone_on = (
        subject.again("When a stop was asked for at once", requests=FakeRequests(stop_at=1), resume_from=start).result
        for start in (None, stopped)
    )
    if fresh.step >= stopped.step:
        return  # it does not hear a stop, which a check of its own reports
    if gone_on.step - stopped.step > fresh.step:
        raise CheckFailed(
            f"Resumed from step {stopped.step}, its first look at run.requests.stop came at step {gone_on.step}, and "
            f"at step {fresh.step} where it began: steps are left out. Begin at the one behind the checkpoint."
        )
    new, from_base, from_there = (weights_of(c.path) for c in (gone_on, fresh, stopped))
    if NEARER * distance(new, from_base) < distance(new, from_there):
        raise CheckFailed(
            f"Resumed from step {stopped.step}, its weights at step {gone_on.step} are near to those of step "
            f"{fresh.step}, not to the checkpoint's: it began with the base model again. Load the weights of "
            "run.resume_from."
        )


@check("Its plan is light, and says what train() then does", "trainer", required=False)
def plan_comes_true(subject: Subject) -> None:
    """Steps and checkpoints, for the rows that it was tested with."""
    plan: Plan = light_answers(subject, "plan")
    if not isinstance(plan, Plan):
        raise CheckFailed(f"Its plan function returned {type(plan).__name__}; expected Plan(...).")
    result: Checkpoint = subject.result()
    if plan.total_steps is not None and plan.total_steps != result.step and "total_steps" not in plan.estimated:
        raise CheckFailed(f"Its plan says {plan.total_steps} steps, but it ended at step {result.step}.")
    made = {c.step for c in subject.outcome.run.checkpoints}
    missing = sorted(set(plan.checkpoints) - made)
    if missing and "checkpoints" not in plan.estimated:
        raise CheckFailed(f"Its plan says a checkpoint at step {missing[0]}, and none was committed there.")


@check("export() writes a model that stands alone", "trainer", required=False)
def export_stands_alone(subject: Subject) -> None:
    """It becomes final/: whole weights, whatever the checkpoint holds."""
    trainer = subject.built()
    if not hasattr(trainer, "export"):
        raise CheckSkipped("It has no export(): the checkpoint's own config and weights become final/.")
    run: FakeRun = subject.new_run()
    checkpoint = WORKING["trainer"].act(trainer, run, *subject.arguments())
    folder = run.dir / "exported"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        trainer.export(checkpoint, folder, run)
    except Exception as error:
        raise CheckFailed(f"export() failed: {named(error)}{place_of(error)}") from error
    if not (folder / "config.json").is_file() or not list(folder.glob("model*.safetensors")):
        found = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        raise CheckFailed(f"export() left {found}; expected config.json and model.safetensors.")
