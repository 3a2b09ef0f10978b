"""The processes of a run.

    cli, tui ──launch──> supervisor (no torch) ──> worker (torch): stages ──> components
                              │ state.toml              │ events.jsonl, inputs.toml, checkpoints/, final/
                              └ lock                    └ worker.lock

The launcher starts a supervisor in a session of its own and waits for one line that says it lives. From then on
the run belongs to nobody's terminal.
"""
