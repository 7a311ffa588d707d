from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from outlast import TaskQueue

app = FastAPI()
queue = TaskQueue(app)

Credentials = Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]
OPERATORS = {"ann": "swordfish", "bob": "opensesame"}


def require_operator(credentials: Credentials) -> None:
    if OPERATORS.get(credentials.username) != credentials.password:
        raise HTTPException(401, headers={"WWW-Authenticate": "Basic"})


def may_only_look(credentials: Credentials) -> bool:
    return credentials.username != "ann"


app.mount("/outlast", queue.dashboard(auth=require_operator, read_only=may_only_look))
