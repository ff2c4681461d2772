"""Hopline as people deploy it: built, started and asked as containers, alone and with several of each.

They run where there is a Docker engine and `HOPLINE_TEST_CONTAINERS` names the compose project to make: `.ci/run` does.

| module | holds |
|---|---|
| `composition` | one compose project: what can be seen of it and done to it |
| `conftest` | the project that all tests share, the provider and the ingest outside of it |
"""
