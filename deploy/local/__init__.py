"""The local launcher: everything that `make run`, `make test` and the other everyday commands do.

`bootstrap.py` prepares the environment with the system's Python; the rest of the package runs inside `.venv` as
`python -m local`. Tests and benchmarks start the real processes through `local.stack.Stack`.
"""
