"""A run folder: record, events, control, checkpoints; read side and write side.

    projects/NAME/runs/0001/
        run.toml       frozen at creation (record)            events.jsonl   what happened (events)
        inputs.toml    once an attempt, by the worker         console.log    stdout and stderr of the worker
        state.toml     written by the supervisor alone        control/       what was asked of it (control)
        lock, worker.lock   held while they live              checkpoints/   committed folders (checkpoints)
                                                              final/         the model

Plain files are the only truth: whoever reads them needs no process to be alive, and nothing here loads torch.
"""
