"""How fast a replication is, where its time goes, and how that compares with plain SimPy: `python -m tests.benchmarks`."""
