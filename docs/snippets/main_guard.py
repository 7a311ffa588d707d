import uvicorn
from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)


def greet(name: str):
    print(f"hello {name}")


@app.post("/greet/{name}")
async def start(name: str, background_tasks: BackgroundTasks):
    background_tasks.add_task(greet, name)
    return {"message": "Soon"}


if __name__ == "__main__":  # the worker imports this file too, and must not start a server
    uvicorn.run(app, port=8000)
