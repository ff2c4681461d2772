"""Hopline's real processes on real servers, between a scripted provider and a recording Sentry ingest.

| module | holds |
|---|---|
| `conftest` | the one stack that all tests share, and the people in it |
| `hopline` | what a test can see of the stack and do to it |
| `person` | a person with a client: conversations, turns, streams |
| `models` | the models on offer here |
| `edges` | the table of edges that a trace must have |
"""
