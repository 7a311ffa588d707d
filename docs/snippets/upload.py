import csv
from io import TextIOWrapper

from fastapi import FastAPI, UploadFile
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app, file_limit=100_000_000)  # a larger file is answered 413


def import_customers(file: UploadFile):
    rows = csv.DictReader(TextIOWrapper(file.file, encoding="utf-8", newline=""))
    print(f"{file.filename}: {sum(1 for _ in rows)} customers")


@app.post("/customers", status_code=202)
async def upload(file: UploadFile, background_tasks: BackgroundTasks):
    background_tasks.add_task(import_customers, file)
    return {"message": "They will be there soon"}
