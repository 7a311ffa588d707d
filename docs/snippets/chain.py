from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)


def create_account(user: str):
    print(f"account of {user} is ready")
    queue.enqueue(send_welcome, user)  # only now, because only now is there an account


async def send_welcome(user: str):
    print(f"welcome, {user}")


@app.post("/users/{user}")
async def sign_up(user: str, background_tasks: BackgroundTasks):
    background_tasks.add_task(create_account, user)
    return {"message": "Your account will be ready soon"}
