from fastapi import FastAPI
from outlast import TaskQueue

app = FastAPI()
queue = TaskQueue(app)


@queue.task(aliases=["send_mail", "shop.letters:send"])
async def send_message(to: str, body: str):
    print(f"to {to}: {body}")
