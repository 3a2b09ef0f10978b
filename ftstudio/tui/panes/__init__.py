"""The panes of a project: one module and one stylesheet each."""
