"""What crosses a process boundary of Hopline, or stands at one.

Admission: two services need it *and* it is about the boundary. Nothing here imports a service.

| module | holds |
|---|---|
| `ids` | the ids that travel |
| `contracts` | HTTP bodies and jobs, one model shared by both ends |
| `turn_events` | the protocol of a turn's stream, Redis and SSE alike |
| `redis_keys` | every key and channel in Redis |
| `queue`, `queue_worker` | jobs: the producer's end and the consumer's |
| `service_tokens` | who may call a service |
| `telemetry` | every call into Sentry |
| `log`, `health`, `problems`, `asgi`, `serve` | what each process does alike at its edges |
| `process_settings`, `database`, `migrations` | configuration and the process's own database |
"""
