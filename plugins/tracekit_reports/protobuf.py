"""Write a protobuf message: fields by number, varints and what has a length. Enough for a trace; no schema, no library."""

from collections.abc import Iterable

Value = int | str | bytes
Field = tuple[int, Value | None]
_WORD = 2**64
_LENGTH = 2  # the wire type of what has a length


def message(fields: Iterable[Field]) -> bytes:
    """Return the bytes of a message whose fields are (number, value); one whose value is None is left out.

    An int is a varint, a negative one in two's complement of 64 bits. Text is UTF-8. Bytes are another message.
    """
    return b"".join(field(number, value) for number, value in fields if value is not None)


def field(number: int, value: Value) -> bytes:
    """Return the bytes of one field. Errors: OverflowError where an int has more than 64 bits."""
    if isinstance(value, int):
        if not -_WORD // 2 <= value < _WORD:
            raise OverflowError(f"field {number}: more than 64 bits")
        return varint(number << 3) + varint(value % _WORD)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | _LENGTH) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """Return a number of at least 0, seven bits in each byte, the lowest first; all bytes but the last have the highest bit set."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
