"""The ledger: provider calls, model switches, money.

| layer | modules |
|---|---|
| process | `__main__` (HTTP), `worker` (queue), `migrate` |
| edge | `routes`, `jobs` |
| use cases | `record_usage`, `track_model_switch`, `usage_report`, `held_events` |
| stores | `usage_calls`, `model_switches`, over `tables` |
| below | `settings`, `errors`, `time_range` |

Totals are sums over rows, never counters. Whatever arrives may arrive twice and in any order; the rows end the same.
"""
