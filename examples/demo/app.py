"""The demo's app: what FastAPI users write, with tasks that outlive the server. `uvicorn examples.demo.app:app`

Copy from here. Each section is one kind of work: the endpoint accepts it and answers at once, the task below does it
later, in a worker that the server starts beside itself. Any task may run twice (a crash can come between the end of its
work and the note of it), so each one first looks whether its result is there, and puts its result in place in one step.
"""

import os
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID, uuid4

from fastapi import FastAPI, HTTPException, Query, Response, UploadFile
from fastapi.responses import FileResponse, HTMLResponse
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import BaseModel

import outlast
from examples.demo import pages, report
from examples.demo.files import put
from outlast import BackgroundTasks, Fail, RetryPolicy, TaskQueue

DATA = Path(os.environ.get("DEMO_DATA", "demo-data")).resolve()
DATA.mkdir(parents=True, exist_ok=True)

app = FastAPI(title="Outlast demo", description="Background tasks that survive their server.")
queue = TaskQueue(app, store=f"sqlite:///{DATA / 'outlast.db'}", children=2, slots=8)
app.include_router(queue.router, prefix="/jobs", tags=["jobs"])


class Accepted(BaseModel):
    """The work is on disk and will be done. `job` tells how far it is, `result` is where it will be."""

    job: str
    result: str | None = None


def accepted(response: Response, job: outlast.Job, result: str | None = None) -> Accepted:
    """The answer 202: the `Location` of the job, to be asked until it has ended."""
    response.headers["Location"] = f"/jobs/{job.id}"
    return Accepted(job=f"/jobs/{job.id}", result=result)


# ---- notifications: FastAPI's own guide, only the import has changed -----------------------------------------------


def write_notification(email: str, message: str = "") -> None:
    # Appending is the one effect here that doubles when the task runs twice; what would not is shown further down.
    with (DATA / "log.txt").open(mode="a") as email_file:
        email_file.write(f"notification for {email}: {message}\n")


@app.post("/send-notification/{email}", tags=["notifications"])
async def send_notification(email: str, background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(write_notification, email, message="some notification")
    return {"message": "Notification sent in the background"}


@app.post("/send-multiple-notifications/{email}", tags=["notifications"])
async def send_multiple_notifications(email: str, background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(write_notification, email, message="first notification")
    background_tasks.add_task(write_notification, email, message="second notification")
    return {"message": "Multiple notifications sent in the background"}


# ---- reports: an HTML page computed from a CSV file ----------------------------------------------------------------


def make_report(report_id: UUID) -> None:
    page = DATA / "reports" / f"{report_id}.html"
    if not page.exists():
        put(page, report.render(report.SEATTLE).encode())


@app.post("/reports", status_code=202, tags=["reports"])
async def order_report(background_tasks: BackgroundTasks, response: Response) -> Accepted:
    report_id = uuid4()
    job = background_tasks.add_task(make_report, report_id)
    return accepted(response, job, result=f"/reports/{report_id}")


@app.get("/reports/{report_id}", response_class=HTMLResponse, tags=["reports"])
def show_report(report_id: UUID) -> FileResponse:
    return file_or_404(DATA / "reports" / f"{report_id}.html", "report")


# ---- images: the endpoint keeps the upload, the task makes thumbnails of it -----------------------------------------

SIZES = (96, 240, 480)
LARGEST_UPLOAD = 10_000_000


@queue.task(timeout=timedelta(seconds=30))
def make_thumbnails(image_id: UUID) -> None:
    folder = DATA / "images" / str(image_id)
    try:
        with Image.open(folder / "original") as original:
            picture = ImageOps.exif_transpose(original).convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise Fail("what was uploaded is no image that can be read") from error  # again would not help
    for size in SIZES:
        thumbnail = folder / f"{size}.webp"
        if not thumbnail.exists():
            put(thumbnail, shrink(picture, size))


def shrink(picture: Image.Image, size: int) -> bytes:
    small, content = picture.copy(), BytesIO()
    small.thumbnail((size, size))
    small.save(content, "WEBP", quality=85)
    return content.getvalue()


@app.post("/images", status_code=202, tags=["images"])
def upload_image(file: UploadFile, background_tasks: BackgroundTasks, response: Response) -> Accepted:
    content = file.file.read(LARGEST_UPLOAD + 1)
    if len(content) > LARGEST_UPLOAD:
        raise HTTPException(413, f"the image is larger than {LARGEST_UPLOAD:,} bytes")
    image_id = uuid4()
    put(DATA / "images" / str(image_id) / "original", content)
    job = background_tasks.add_task(make_thumbnails, image_id)
    return accepted(response, job, result=f"/images/{image_id}")


@app.get("/images/{image_id}", response_class=FileResponse, tags=["images"])
def show_image(image_id: UUID, size: Literal["96", "240", "480"] = "240") -> FileResponse:
    return file_or_404(DATA / "images" / str(image_id) / f"{size}.webp", "image")


# ---- flaky: what goes wrong twice is tried a third time -------------------------------------------------------------


@queue.task(max_attempts=5, retry=RetryPolicy(delay=timedelta(seconds=1), factor=2))
def call_flaky_service(call_id: UUID) -> str:
    job = outlast.current_job()
    attempt = job.attempt if job else 1
    with (DATA / "flaky.txt").open("a") as log:
        log.write(f"{call_id} attempt {attempt} {datetime.now(UTC).isoformat()}\n")
    if attempt < 3:
        raise ConnectionError(f"the service did not answer (attempt {attempt})")
    return f"answered in attempt {attempt}"


@app.post("/flaky", status_code=202, tags=["flaky"])
async def call_service(background_tasks: BackgroundTasks, response: Response) -> Accepted:
    return accepted(response, background_tasks.add_task(call_flaky_service, uuid4()))


# ---- crunch: pure computing, in another process than the one that answers requests ---------------------------------


def count_primes(below: int) -> int:
    """How many primes there are below a number, by plain trial division, which takes its time."""
    return sum(1 for number in range(2, below) if all(number % by for by in range(2, int(number**0.5) + 1)))


@app.post("/crunch", status_code=202, tags=["crunch"])
async def crunch(
    background_tasks: BackgroundTasks,
    response: Response,
    below: Annotated[int, Query(ge=2, le=2_000_000)] = 1_000_000,
) -> Accepted:
    return accepted(response, background_tasks.add_task(count_primes, below))


@app.get("/ping", tags=["crunch"])
async def ping() -> dict[str, bool]:
    return {"ok": True}


# ---- orders: each gets one receipt, however often its task runs -----------------------------------------------------


@queue.task(queue="orders")
def write_receipt(order: int) -> None:
    note_start(order)
    receipt = DATA / "receipts" / f"{order}.txt"
    if receipt.exists():
        return
    time.sleep(0.25)  # stands for a slow service of somebody else's
    put(receipt, f"order {order}: paid, {sha256(str(order).encode()).hexdigest()[:12]}\n".encode())


def note_start(order: int) -> None:
    """For the count of tasks that ran twice: a line for each start, so that even a start that was cut off is seen."""
    job = outlast.current_job()
    with (DATA / "starts.txt").open("a") as starts:
        starts.write(f"{job.id if job else '-'} {order}\n")


@app.post("/orders/{order}", status_code=202, tags=["orders"])
async def take_order(order: int, background_tasks: BackgroundTasks, response: Response) -> Accepted:
    return accepted(response, background_tasks.add_task(write_receipt, order))


# ---- pages ----------------------------------------------------------------------------------------------------------


@app.get("/", response_class=HTMLResponse, include_in_schema=False)
def start_page() -> str:
    return pages.start(reports=newest("reports/*.html"), images=newest("images/*/240.webp"))


def newest(pattern: str) -> list[Path]:
    return sorted(DATA.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)[:8]


def file_or_404(path: Path, what: str) -> FileResponse:
    if not path.exists():
        raise HTTPException(404, f"this {what} is not there, or not yet: its job tells")
    return FileResponse(path)
