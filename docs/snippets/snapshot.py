from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from outlast import BackgroundTasks, TaskQueue
from pydantic import BaseModel

app = FastAPI()
queue = TaskQueue(app)


class User(BaseModel):
    name: str


def get_user(authorization: Annotated[str, Header()]) -> User:
    if not authorization.startswith("Bearer "):
        raise HTTPException(401, "Who are you?")
    return User(name=authorization.removeprefix("Bearer "))


def export(album: int, user: Annotated[User, Depends(queue.snapshot(get_user))]):
    print(f"album {album} for {user.name}")


@app.post("/albums/{album}/export")
async def start(album: int, background_tasks: BackgroundTasks):
    background_tasks.add_task(export, album)
    return {"message": "You will get it by mail"}
