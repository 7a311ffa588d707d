"""What `benchmarks/run.py` measures with. The parts measure; the rest starts processes, makes load, tells results."""
