"""The command line: the same functions as the studio, for people and for scripts.

stdout is data, stderr is narration. With `--json` stdout holds one JSON value and nothing else. Exit codes: 0 done;
1 the job failed, or a plugin's bug; 2 the input was wrong; 3 stopped or interrupted before the end; 130 left
running by Ctrl+C.
"""
