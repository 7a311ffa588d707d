"""The parts of the benchmark. Each has `measure(setting)`, which returns tables."""
