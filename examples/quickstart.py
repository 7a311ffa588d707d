"""The README's example, to be run with `uvicorn examples.quickstart:app`.

Then: `curl -X POST localhost:8000/send-notification/you@example.com`, and look into log.txt.
"""

from fastapi import FastAPI

from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)


def write_notification(email: str, message: str = "") -> None:
    with open("log.txt", mode="w") as email_file:
        email_file.write(f"notification for {email}: {message}")


@app.post("/send-notification/{email}")
async def send_notification(email: str, background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(write_notification, email, message="some notification")
    return {"message": "Notification sent in the background"}
