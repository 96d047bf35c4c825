"""Ends that come: what a test began ends in bounded time, or is left to end with its process.

pytest-timeout strikes once. What hangs when a test is over, or after it was struck, would hang for ever.
"""

import asyncio
import contextlib
import warnings

PATIENCE = 10.0  # seconds; a browser on a busy machine takes two


async def at_most(awaitable, patience=PATIENCE):
    """Wait for what ends something, even if it does not heed being cancelled; return whether it ended in time."""
    task = asyncio.ensure_future(awaitable)
    done, _ = await asyncio.wait([task], timeout=patience)
    if done:
        task.result()
        return True
    task.cancel()
    warnings.warn(f"{awaitable} did not end within {patience} s", stacklevel=2)
    return False


async def end(process, patience=PATIENCE):
    """Wait until a program ends by itself, and kill it if it does not.

    A process of asyncio waits for its pipes too, which children of a program may hold open when it is gone.
    """
    if not await _ended(process, patience):
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await _ended(process, patience)
    process._transport.close()


async def _ended(process, patience):
    waiting = asyncio.ensure_future(process.wait())
    await asyncio.wait([waiting], timeout=patience)
    waiting.cancel()
    return process.returncode is not None
