"""Waiting for what only polling can see."""

import asyncio


async def until(condition, patience=30.0):
    """Let the loop turn until the condition holds; TimeoutError after `patience` seconds."""
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110  what is waited for has no event of its own
            await asyncio.sleep(0.001)
