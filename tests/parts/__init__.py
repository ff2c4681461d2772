"""Real parts for tests: what stands around Hopline's processes, over real sockets.

| module | holds |
|---|---|
| `scripted_provider` | an OpenAI-compatible provider that does what a test tells it, and logs all it served |
| `plans`, `provider_answer` | what the provider is told, and how it plays that in OpenAI's shapes |
| `recording_ingest` | a Sentry ingest that keeps everything it is sent |
| `envelopes`, `traces` | what was sent, as items and as trees of spans |
| `event_stream` | a reader of a turn's events, as the protocol wants one |
| `servers` | a real PostgreSQL and a real Valkey alone, for a member's own tests |
| `waiting` | waiting for a condition with a deadline, in place of sleeping |
| `background_server` | the socket under the provider and the ingest |
"""
