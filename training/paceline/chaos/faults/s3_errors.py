"""Object storage refuses for a while: throttling and internal errors.

Answers: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field

_ANSWERS = (("SlowDown", "503 Slow Down"), ("InternalError", "500 Internal Server Error"))
_SECONDS = 2.0


class S3Errors(FaultClass):
    breaks = "every request to the bucket is answered with SlowDown or InternalError, for the time of some checkpoints"
    then = "they are saved by another try, or missing and it is said why; training goes on"
    signs = ()
    heals = False

    def strike(self, field: Field, rng: Random) -> None:
        with field.storage_weather() as bucket:
            for code, status in rng.sample(_ANSWERS, len(_ANSWERS)):
                bucket.answer(_reply(code, status))
                field.pause(_SECONDS)


def _reply(code: str, status: str) -> bytes:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>chaos</Message></Error>'
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n{body}".encode()
