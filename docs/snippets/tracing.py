from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from outlast import BackgroundTasks, TaskQueue

# Where the module is imported: so the worker, which imports it too, has it as well.
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer(__name__)

app = FastAPI()
queue = TaskQueue(app)


def charge(order: int):
    with tracer.start_as_current_span("ask the bank"):
        ...


@app.post("/orders/{order}")
async def create(order: int, background_tasks: BackgroundTasks):
    background_tasks.add_task(charge, order)
