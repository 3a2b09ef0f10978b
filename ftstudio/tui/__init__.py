"""The terminal studio. It shows what the files say and owns no state of its own.

So far it is Home alone: projects and their runs, live first, refreshed every second.
"""
