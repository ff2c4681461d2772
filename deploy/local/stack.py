"""A whole Hopline as processes of this machine: the one thing `make run`, tests/e2e and bench/ start.

    ports = free_ports()                                         # or a dict {"gateway": 8000, ...}; local.ports
    with Stack(root, state_dir=tmp, ports=ports, env={"SENTRY_DSN": dsn, "HOPLINE_MODELS": str(models)}) as stack:
        stack.start_databases()                                  # PostgreSQL, Valkey; the three databases exist
        stack.migrate()                                          # the three migrations, in parallel
        stack.start_services()                                   # all five, in parallel; returns when all are ready
        httpx.get(stack.url("gateway") + "/api/health")
        stack.kill("chat-worker")                                # SIGKILL; it stays down until start()
        stack.start("chat-worker"); stack.wait_ready("chat-worker")

The API is synchronous and may be called from any thread (`await asyncio.to_thread(stack.restart, "chat")`).

| call | then |
|---|---|
| `start_databases()` | PostgreSQL and Valkey accept connections, roles and databases exist |
| `migrate()` | every database is at its newest revision; `StartError` with the migration's last line otherwise |
| `start(name, env={})` | the process is spawned, not yet ready; `env` is added for this one start |
| `start_services(names=SERVICES)` | all of them are spawned at once, and ready |
| `wait_ready(name, timeout_s=30)` | its ready URL answered 200; `StartError` if it ended or the time is over |
| `stop(name)` | asked by its stop signal, killed after its grace period, gone; nothing if it was not running |
| `kill(name, signal=SIGKILL)` | the signal is sent; after SIGKILL the process is gone when this returns |
| `restart(name)` | `stop`, `start`, `wait_ready` |
| `add_copy(name, of=)` | a second process of a kind, e.g. `add_copy("gateway-2", of="gateway")` on a free port |
| `pids` | name → pid of those that run now |
| `env_for(name)` | the whole environment that the process gets |
| `url(name)` | `http://127.0.0.1:<port>` (databases: their URL with user and password) |
| `database_url(service)` | of "gateway", "chat", "tracking" |
| `log_tail(name)` | its last lines, newest last |
| `close()` | everything ended in reverse order; idempotent |

Names are those of `local.process_table`: postgres, valkey, local-model, spotlight, tracking, tracking-worker,
chat, chat-worker, gateway. What is never started costs nothing. Children get the caller's environment without any
setting of Hopline's (HOPLINE_*, SENTRY_*, OPENAI_*, REDIS_URL), then what the stack makes, then `env`. Nothing is
restarted by itself here (that is `local.supervise`), so that a test sees what it killed stay dead.

A stack holds a lock on its state directory: two stacks never share one. A child dies with the process that made the
stack, even by SIGKILL, where the system can do that (Linux).
"""
