import httpx
import pytest
from outlast.testing import OutlastQueue
from shop import app, letters  # your own app


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio  # or pytest.mark.asyncio
async def test_a_letter_goes_out(outlast_queue: OutlastQueue):
    letters.clear()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test"
    ) as client:
        await client.post("/orders/7?cents=990&email=you@example.com")

    await outlast_queue.adrain()

    assert letters == ["Thank you, you@example.com"]
