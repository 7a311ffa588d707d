from fastapi import FastAPI
from outlast import TaskQueue

app = FastAPI()
queue = TaskQueue(app)


def resize(image: int, width: int):
    print(f"image {image} to {width}")


@app.post("/albums/{album}/resize")
async def resize_album(album: int):
    images = range(album * 100, album * 100 + 100)
    jobs = await queue.aenqueue_many(resize, [(image, 640) for image in images])
    return {"jobs": len(jobs)}
