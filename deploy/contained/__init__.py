"""What runs in Hopline's containers besides Hopline, each as `python -m contained.<name>`.

| module | when |
|---|---|
| `make_secrets` | once before everything, in each start: passwords and keys are there |
| `make_databases` | once after PostgreSQL is well: roles and databases are there |
| `start` | first thing in a service's container, which then becomes the service |
| `ready` | every few seconds in each container: the health check |
"""
