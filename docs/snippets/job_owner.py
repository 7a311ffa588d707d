from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import OAuth2PasswordBearer
from outlast import BackgroundTasks, TaskQueue

USERS = {"token-of-ada": "ada", "token-of-bob": "bob"}  # stands for your users
signed_in = OAuth2PasswordBearer(tokenUrl="token")


async def current_user_id(token: Annotated[str, Depends(signed_in)]) -> str:
    if token not in USERS:
        raise HTTPException(401, "sign in first")
    return USERS[token]


app = FastAPI()
queue = TaskQueue(app, owner=current_user_id)
app.include_router(queue.router, prefix="/jobs")


def make_report(year: int) -> dict[str, int]:
    return {"year": year, "pages": 12}


@app.post("/reports/{year}", status_code=202)
async def order_report(year: int, background_tasks: BackgroundTasks, request: Request):
    return queue.accepted(background_tasks.add_task(make_report, year), request)
