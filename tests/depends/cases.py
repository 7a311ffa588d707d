"""An app whose functions are endpoints and tasks at once: the same declarations, solved by a request and by a worker.

Each case is a function of `n` and of what it declares by Depends. What happens is written into a trace, a file beside
this one. The tests copy this module into a folder of their own.
"""

import asyncio
import contextvars
import functools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response, Security
from fastapi import BackgroundTasks as PlainTasks
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes

from outlast import TaskQueue

HERE = Path(__file__).parent


def trace(*words: Any) -> None:
    with open(HERE / "trace", "a") as file:
        file.write(" ".join(map(str, words)) + "\n")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    app.state.engine = "engine"
    yield {"pool": ["of", "the", "lifespan"]}


@asynccontextmanager
async def router_lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
    yield {"cache": "of the router"}


app = FastAPI(lifespan=lifespan)
router = APIRouter(lifespan=router_lifespan)
app.include_router(router)
queue = TaskQueue(app, store=f"sqlite:///{HERE / 'outlast.db'}", worker="external")
cases: dict[str, Any] = {}


def case(func: Any) -> Any:
    """An endpoint at its own name, and a task."""
    app.get(f"/{func.__name__}")(func)
    cases[func.__name__] = task = queue.task(max_attempts=1)(func)
    return task


# ---- what is declared


def plain() -> str:
    trace("plain")
    return "plain"


async def async_plain() -> str:
    trace("async plain")
    return "async plain"


class Pager:
    def __init__(self, base: Annotated[str, Depends(plain)]) -> None:
        trace("pager of", base)
        self.base = base


class Checker:
    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __call__(self, base: Annotated[str, Depends(plain)]) -> str:
        trace("check", self.limit, base)
        return f"{base}<{self.limit}"


def session() -> Iterator[str]:
    trace("session opens")
    try:
        yield "session"
        trace("session commits")
    except Exception as error:
        trace("session rolls back:", repr(error))
        raise
    finally:
        trace("session closes")


async def async_session() -> AsyncIterator[str]:
    trace("async session opens")
    try:
        yield "async session"
        trace("async session commits")
    except BaseException as error:
        trace("async session rolls back:", repr(error))
        raise
    finally:
        trace("async session closes")


def repository(of: Annotated[str, Depends(session)]) -> Iterator[str]:
    trace("repository opens on", of)
    yield f"repository({of})"
    trace("repository closes")


def nested(over: Annotated[str, Depends(repository)], of: Annotated[str, Depends(session)]) -> str:
    trace("nested", over, of)
    return f"{over} and {of}"


def converts(of: Annotated[str, Depends(session)]) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        trace("converts", repr(error))
        raise ValueError("converted") from error


def swallows() -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        trace("swallows", repr(error))


def refuses(of: Annotated[str, Depends(session)]) -> None:
    trace("refuses")
    raise HTTPException(404, "not here")


def fails_on_its_way_out() -> Iterator[str]:
    yield "x"
    trace("fails on its way out")
    raise OSError("on the way out")


def scoped(scopes: SecurityScopes) -> str:
    # Older versions of FastAPI name some twice.
    names = " ".join(sorted(set(scopes.scopes)))
    trace("scopes", names)
    return names


def secured(rights: Annotated[str, Security(scoped, scopes=["write"])]) -> str:
    return f"may {rights}"


def from_request(request: Request) -> list[Any]:
    trace("state", request.app.state.engine, request.state.pool, request.state.cache, request.app is app)
    return [request.app.state.engine, request.state.pool, request.state.cache]


def from_connection(conn: HTTPConnection) -> str:
    return conn.app.state.engine


def with_response(response: Response) -> None:
    response.headers["x-trace"] = "1"
    trace("response", type(response).__name__)


tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


async def sets_tenant() -> None:
    tenant.set("somebody")


async def yields_tenant() -> AsyncIterator[None]:
    tenant.set("somebody else")
    yield
    trace("tenant on the way out", tenant.get())


def original() -> str:
    return "original"


def override() -> Iterator[str]:
    trace("override opens")
    yield "overridden"
    trace("override closes")


app.dependency_overrides[original] = override


def afterwards(word: str) -> None:
    trace("afterwards", word)


def adds_plainly(tasks: PlainTasks) -> None:
    tasks.add_task(afterwards, "plain background task")


Session = Annotated[str, Depends(session)]
AsyncSession = Annotated[str, Depends(async_session)]


# ---- the cases


@case
async def a_function(n: int, it: Annotated[str, Depends(plain)]) -> Any:
    trace("body", n, it)
    return [n, it]


@case
def a_function_for_a_def(n: int, it: Annotated[str, Depends(plain)]) -> Any:
    trace("body", n, it)
    return [n, it]


@case
async def by_default(n: int, it: str = Depends(async_plain)) -> Any:
    trace("body", n, it)
    return [n, it]


@case
async def a_class(n: int, it: Annotated[Pager, Depends()]) -> Any:
    return [n, it.base]


@case
async def an_instance(n: int, it: Annotated[str, Depends(Checker(5))]) -> Any:
    return [n, it]


@case
async def a_partial(n: int, it: Annotated[str, Depends(functools.partial(Checker(7)))]) -> Any:
    return [n, it]


@case
async def several_share_one(
    n: int,
    one: Annotated[str, Depends(plain)],
    two: Annotated[Pager, Depends()],
    three: Annotated[str, Depends(plain)],
) -> Any:
    return [n, one, two.base, three]


@case
async def uncached(
    n: int, one: Annotated[str, Depends(plain)], two: Annotated[str, Depends(plain, use_cache=False)]
) -> Any:
    return [n, one, two]


@case
async def opened_and_closed(n: int, it: Session) -> Any:
    trace("body", n, it)
    return it


@case
def opened_and_closed_for_a_def(n: int, it: AsyncSession) -> Any:
    trace("body", n, it)
    return it


@case
async def opened_in_turn_and_closed_backwards(
    n: int, one: Session, two: AsyncSession, three: Annotated[str, Depends(nested)]
) -> Any:
    trace("body", n)
    return [one, two, three]


@case
async def of_both_scopes(
    n: int,
    ending_late: AsyncSession,
    ending_early: Annotated[str, Depends(session, scope="function")],
) -> Any:
    trace("body", n)
    return [ending_late, ending_early]


@case
async def an_error_reaches_them(n: int, one: Session, two: AsyncSession) -> Any:
    trace("body", n)
    raise KeyError("of the body")


@case
def an_error_of_a_def_reaches_them(n: int, one: Session, two: AsyncSession) -> Any:
    trace("body", n)
    raise KeyError("of the body")


@case
async def an_error_reaches_both_scopes(
    n: int, late: AsyncSession, early: Annotated[str, Depends(session, scope="function")]
) -> Any:
    raise KeyError("of the body")


@case
async def an_error_is_converted(n: int, it: Annotated[None, Depends(converts)]) -> Any:
    raise KeyError("of the body")


@case
async def an_error_is_swallowed(n: int, it: Annotated[None, Depends(swallows)], other: Session) -> Any:
    raise KeyError("of the body")


@case
async def a_dependency_refuses(n: int, first: AsyncSession, it: Annotated[None, Depends(refuses)]) -> Any:
    trace("never")


@case
async def a_dependency_fails_on_its_way_out(
    n: int, first: Session, it: Annotated[str, Depends(fails_on_its_way_out)]
) -> Any:
    trace("body", n)
    return it


@case
async def a_function_scoped_one_fails_on_its_way_out(
    n: int, first: Session, it: Annotated[str, Depends(fails_on_its_way_out, scope="function")]
) -> Any:
    trace("body", n)
    return it


@case
async def security_scopes(n: int, it: Annotated[str, Security(secured, scopes=["read"])]) -> Any:
    return [n, it]


@case
async def state(n: int, it: Annotated[list[Any], Depends(from_request)]) -> Any:
    return [n, it]


@case
def state_by_a_connection(n: int, it: Annotated[str, Depends(from_connection)]) -> Any:
    return [n, it]


@case
async def a_response(n: int, it: Annotated[None, Depends(with_response)]) -> Any:
    return n


@case
async def a_context_variable(n: int, it: Annotated[None, Depends(sets_tenant)]) -> Any:
    return [n, tenant.get()]


@case
def a_context_variable_in_a_def(n: int, it: Annotated[None, Depends(yields_tenant)]) -> Any:
    return [n, tenant.get()]


@case
async def overridden(n: int, it: Annotated[str, Depends(original)]) -> Any:
    trace("body", n, it)
    return it


@case
async def a_plain_background_task(n: int, it: Annotated[None, Depends(adds_plainly)], other: Session) -> Any:
    trace("body", n)
    return n


@case
async def it_awaits_between(n: int, it: AsyncSession) -> Any:
    trace("body begins")
    await asyncio.sleep(0)
    trace("body ends")
    return n


@case
async def keywords_and_defaults(n: int, *, it: Session, word: str = "by default") -> Any:
    return [n, it, word]
