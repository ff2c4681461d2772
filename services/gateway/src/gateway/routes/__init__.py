"""The gateway's HTTP edge: one module for each group of addresses."""
