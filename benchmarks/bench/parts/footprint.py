"""(d) Footprint: memory of a worker's tree (proportional set size), and what server and worker use of a core idle."""

from __future__ import annotations

import time
from pathlib import Path

from bench import durable, load
from bench.processes import HERE, Process, processor_time
from bench.report import Table
from bench.servers import serving
from bench.setting import Setting

APP = "examples.demo.app:app"
_PROC = Path("/proc")


def measure(setting: Setting) -> list[Table]:
    if not (_PROC / "self" / "smaps_rollup").exists():
        setting.say("skipped: this system does not tell the proportional set size of a process (Linux does)")
        return []
    folder = setting.fresh("footprint")
    url, flush = durable.url_in(folder), setting.flush_ms()
    environment = {"OUTLAST_STORE": url, "DEMO_DATA": str(folder), "PYTHONPATH": str(HERE.parent)}
    with serving(APP, folder, environment) as server:
        for path in ("/send-notification/someone@example.com", "/reports"):
            load.put(server.port, path, connections=8, warmup=0.0, seconds=0.5)
        durable.Jobs(url).drained()
        time.sleep(2.0)
        server_process, *worker = server.process.tree()
        memory = [(each, _pss(each)) for each in worker]
        own_memory = _pss(server_process)
        seconds = setting.pick(20, 3)
        setting.say(f"watching an idle server and worker for {seconds} s")
        used = _idle_share([server_process], worker, seconds)
    table = _table(memory, own_memory, used, seconds, flush)
    for row in table.rows:
        setting.say(": ".join(row[:2]))
    return [table]


def _idle_share(server: list[Process], worker: list[Process], seconds: int) -> tuple[float, float]:
    """What each used of a core, in percent."""
    before = processor_time(server), processor_time(worker)
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    after = processor_time(server), processor_time(worker)
    own, its = ((late - early) / took * 100 for early, late in zip(before, after, strict=True))
    return own, its


def _pss(process: Process) -> float:
    """MiB of a process, shared pages counted by its share of them."""
    lines = (_PROC / str(process.pid) / "smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


def _table(
    memory: list[tuple[Process, float]], own: float, used: tuple[float, float], seconds: int, flush: float
) -> Table:
    table = Table("(d) Footprint, on the demo's app", ["what", "figure", "goal", "fsync, ms"])
    fsync = f"{flush:.2f}"
    total = sum(mebibytes for _, mebibytes in memory)
    names = ["supervisor", *(f"child {number}" for number in range(1, len(memory)))]
    parts = ", ".join(f"{name} {mebibytes:.1f}" for name, (_, mebibytes) in zip(names, memory, strict=True))
    table.add("worker's tree, memory (PSS)", f"{total:.1f} MiB", "under 150 MiB", fsync)
    table.add("server, memory (PSS)", f"{own:.1f} MiB", "", fsync)
    table.add("worker's tree, idle", f"{used[1]:.2f} % of a core", "under 1 %", fsync)
    table.add("server, idle", f"{used[0]:.2f} % of a core", "", fsync)
    table.notes.append(f"Memory in MiB: {parts}. Idle for {seconds} s after some hundred jobs had run.")
    return table
