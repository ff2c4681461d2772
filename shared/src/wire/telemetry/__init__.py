"""Every call into Sentry stands in this package, so that a change of its API is a change of this package.

| module | holds |
|---|---|
| `setup` | `start_telemetry`, once a process, before anything else |
| `sampling` | which traces are kept |
| `scrub` | what never leaves the process |
| `spans` | spans, transactions, errors and messages as the services write them |
| `profiling` | what a function or a block takes: `@profile`, `profiling_span`, `timings` |
"""
