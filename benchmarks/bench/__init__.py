"""What `benchmarks/run.py` measures with. The parts measure; the rest starts processes, makes load, and tells results."""
