"""Sends the head of a response together with the first part of its body: one packet, not two."""

import asyncio


class ResponseBuffer:
    """Stands for the transport of one request; uvicorn writes the head first, then each part."""

    def __init__(self, transport: asyncio.Transport) -> None:
        """Write to ``transport``."""
        self._transport, self._head = transport, b""
        self._has_begun = False

    def write(self, data: bytes) -> None:
        """Write the data; the head of a response waits for the data after it."""
        if not self._has_begun and not data.startswith(b"HTTP/1.1 100 "):
            self._has_begun, self._head = True, data
            return
        head, self._head = self._head, b""
        self._transport.write(head + data)

    def close(self) -> None:
        """Write what still waits, then close the connection."""
        if self._head:
            self.write(b"")
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is being closed."""
        return self._transport.is_closing()
