"""The terminal studio. It shows what the files say and owns no state of its own; docs/studio.md says how."""
