import asyncio
from datetime import timedelta

from outlast import TaskQueue

queue = TaskQueue()


@queue.task
def add(left: int, right: int) -> int:
    return left + right


async def main():
    job = await add.aenqueue(2, 3)
    print(await job.wait(timeout=timedelta(seconds=10)))


if __name__ == "__main__":
    asyncio.run(main())
