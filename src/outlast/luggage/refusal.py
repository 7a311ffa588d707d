"""What a job cannot carry, why, and what to do instead. Kinds are told by their names, so that no library is imported.

How the other values are carried is for `outlast.luggage.parcel`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from outlast.luggage.rows import is_row


class Refusal(Exception):
    """A value that cannot be carried: `what` it is and its `cure`. When `final`, no annotation could help.

    `row` is the class of an ORM row: who knows its parameter can tell more of the cure.
    """

    def __init__(self, what: str, cure: str, *, final: bool = False, row: type | None = None) -> None:
        super().__init__(what, cure)
        self.what = what
        self.cure = cure
        self.final = final
        self.row = row
        self.path = ""


def refuse_live(kind: type) -> None:
    """Raise the Refusal of a kind whose values live in their process only, whatever else they are."""
    found = _live(kind)
    if found is not None:
        what, cure = found
        row = kind if is_row(kind) else None
        raise Refusal(f"it is {what} ({_full_name(kind)})", cure, final=True, row=row)


def stranger(kind: type) -> Refusal:
    """The Refusal of a kind that nothing here can carry, unless an annotation can."""
    what, cure = _look_up(kind, _STRANGE) or _PACKAGES.get(kind.__module__.partition(".")[0]) or _UNKNOWN
    return Refusal(f"it is {what} ({_full_name(kind)})", cure)


@lru_cache(maxsize=1024)
def _live(kind: type) -> tuple[str, str] | None:
    if is_row(kind):
        return _ORM_ROW
    return _look_up(kind, _LIVE) or (_ITERATOR if issubclass(kind, Iterator) else None)


def _look_up(kind: type, table: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    return next((table[name] for name in map(_full_name, kind.__mro__) if name in table), None)


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _table(*rows: tuple[str, str, str]) -> dict[str, tuple[str, str]]:
    return {kind: (what, cure) for what, cure, kinds in rows for kind in kinds.split()}


_OPEN_IN_TASK = "pass what identifies it, and open it in the task"
_TAKE_OUT = "pass the values that the task needs out of it"
_ORM_ROW = ("an ORM row, which belongs to its session", "pass its primary key and load it in the task")
_UNKNOWN = (
    "an object of a kind that cannot be carried by value",
    "pass the plain values in it, make its class a dataclass or a Pydantic model, or pass its key and load it there",
)
_ITERATOR = ("an iterator, which can be read once and only here", "pass a list of what it yields")

# what it is · the cure · the kinds (and their subclasses) that it is said of
_LIVE = _table(
    (
        "a request or response, which ends with this request",
        _TAKE_OUT,
        "starlette.requests.HTTPConnection starlette.responses.Response",
    ),
    (
        "an uploaded file, which is closed with its request",
        "save it in the endpoint and pass its path, or pass its bytes",
        "starlette.datastructures.UploadFile",
    ),
    (
        "an app or its state, which lives in this process",
        "import the app in the task, where its lifespan has run too",
        "starlette.applications.Starlette starlette.datastructures.State",
    ),
    (
        "a database session or connection, which belongs to this process",
        _OPEN_IN_TASK,
        "sqlalchemy.orm.session.Session sqlalchemy.orm.session.sessionmaker sqlalchemy.orm.scoping.scoped_session "
        "sqlalchemy.ext.asyncio.session.AsyncSession sqlalchemy.ext.asyncio.session.async_sessionmaker "
        "sqlalchemy.ext.asyncio.scoping.async_scoped_session sqlalchemy.engine.base.Connection "
        "sqlalchemy.engine.base.Engine sqlalchemy.ext.asyncio.engine.AsyncConnection "
        "sqlalchemy.ext.asyncio.engine.AsyncEngine sqlite3.Connection sqlite3.Cursor "
        "psycopg._connection_base.BaseConnection psycopg2.extensions.connection asyncpg.connection.Connection "
        "asyncpg.pool.Pool",
    ),
    (
        "the result of a query, which belongs to its session",
        "pass the values in it, as a dict or a list",
        "sqlalchemy.engine.row.BaseRow sqlalchemy.engine._row_cy.BaseRow sqlalchemy.engine._py_row.BaseRow "
        "sqlalchemy.engine.row.Row sqlalchemy.engine.result.Result sqlite3.Row",
    ),
    (
        *_ORM_ROW,
        "django.db.models.base.Model tortoise.models.Model peewee.Model beanie.odm.documents.Document "
        "mongoengine.document.Document",
    ),
    (
        "a buffer in memory, which has a position and an owner",
        "pass its content, from getvalue()",
        "_io.BytesIO _io.StringIO",
    ),
    (
        "an open file, which is open in this process only",
        "pass its path and open it in the task",
        "io.IOBase _io._IOBase tempfile._TemporaryFileWrapper tempfile.SpooledTemporaryFile mmap.mmap",
    ),
    (
        "a socket or stream, which is connected in this process only",
        "pass the address and connect in the task",
        "_socket.socket asyncio.streams.StreamReader asyncio.streams.StreamWriter",
    ),
    (
        "a lock, event or queue, which nobody in another process would share",
        "make it in the task, or let the database guard what is shared",
        "_thread.lock _thread.RLock threading._RLock threading.Condition threading.Semaphore threading.Event "
        "threading.Barrier asyncio.mixins._LoopBoundMixin queue.Queue _queue.SimpleQueue",
    ),
    (
        "a coroutine, which can only run here",
        "add the function and pass its arguments after it: add_task(func, argument), not add_task(func(argument))",
        "builtins.coroutine",
    ),
    (
        "a running task or future, which belongs to this process",
        "await it in the endpoint and pass its result",
        "_asyncio.Future _asyncio.Task asyncio.futures.Future concurrent.futures._base.Future",
    ),
    (
        "a thread, pool, process or loop, which lives in this process",
        "start what you need in the task",
        "threading.Thread concurrent.futures._base.Executor subprocess.Popen multiprocessing.process.BaseProcess "
        "asyncio.events.AbstractEventLoop",
    ),
    (
        "a generator, which can be read once and only here",
        "pass a list of what it yields",
        "builtins.generator builtins.async_generator",
    ),
    ("a module", "import it in the task", "builtins.module"),
    (
        "a part of this process's own state",
        _TAKE_OUT,
        "builtins.frame builtins.traceback builtins.code builtins.cell weakref.ReferenceType _contextvars.Context "
        "_contextvars.ContextVar _contextvars.Token _thread._local",
    ),
    ("an error, which holds the frames that it passed through", "pass str(error)", "builtins.BaseException"),
    (
        "a function with arguments already in it",
        "pass the function itself, and its arguments beside it",
        "functools.partial functools.partialmethod",
    ),
    ("a logger", "call logging.getLogger(__name__) in the task", "logging.Logger logging.LoggerAdapter"),
)

# An annotation may be able to carry these, by a serializer of its own.
_STRANGE = _table(
    (
        "a secret, which would lie in the store in clear",
        "pass the secret's name and read it in the task",
        "pydantic.types._SecretBase",
    ),
    ("a window on another object", "pass bytes(…) of it", "builtins.memoryview"),
    (
        "a view of a mapping",
        "pass a list or a dict of it",
        "builtins.dict_keys builtins.dict_values builtins.dict_items builtins.mappingproxy",
    ),
    ("a compiled pattern", "pass its .pattern and compile it in the task", "re.Pattern"),
    ("a match of a pattern", "pass its groups", "re.Match"),
    ("a deque", "pass a list of it", "collections.deque"),
    (
        "an instant or time zone of a library",
        "pass a plain datetime with a zoneinfo.ZoneInfo or datetime.timezone",
        "datetime.datetime datetime.date datetime.time datetime.timedelta datetime.tzinfo",
    ),
)

# By the package that a kind is from, where nothing else is known of it.
_PACKAGES = _table(
    (
        "a number, array, table or image of a library",
        "pass .tolist() or .item() of it, or save it and pass the path or key",
        "numpy pandas polars pyarrow torch tensorflow jax PIL array",
    ),
    (
        "an object of a client library, which may hold a connection",
        _OPEN_IN_TASK,
        "aiobotocore aiohttp aiokafka aiomysql aiosqlite asyncpg asyncssh boto3 botocore celery dramatiq elasticsearch "
        "ftplib grpc http httpx imaplib kafka kombu minio motor paramiko pika psycopg psycopg2 psycopg_pool pymongo "
        "pymysql redis requests rq smtplib sqlalchemy sqlite3 ssl urllib3 valkey websockets",
    ),
)
