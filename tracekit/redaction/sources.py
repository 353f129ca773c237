"""Sources that are redacted while they are read: what comes after the reading never sees a value."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tracekit.errors import SourceError
from tracekit.grammar.rules import Rule
from tracekit.reading.chunk import Chunk
from tracekit.reading.source import CHUNK, Series, Source
from tracekit.redaction.names import collect, words_of
from tracekit.redaction.redactor import Redactor
from tracekit.redaction.tokens import Tokens


@dataclass(frozen=True)
class Redacted(Source):
    """Give the lines of another source with tokens in place of values; line numbers stay."""

    inner: Source = field(default_factory=lambda: Source(""), repr=False)
    redactor: Redactor | None = field(default=None, repr=False, compare=False)

    @property
    def plain(self) -> bool:
        """Return whether its bytes are those of the file: they are not."""
        return False

    def chunks(self, size: int = CHUNK) -> Iterator[Chunk]:
        """Yield the source's lines, redacted."""
        for chunk in self.inner.chunks(size):
            yield Chunk(chunk.first_line, self._redactor.data(chunk.data))

    def text_of(self, numbers: Iterable[int]) -> dict[int, str]:
        """Return the text of some lines, by number, redacted."""
        return {n: self._redactor.text(text) for n, text in self.inner.text_of(numbers).items()}

    def notes(self) -> list[str]:
        """Return what the user should know about the reading so far."""
        return [self._redactor.text(note) for note in self.inner.notes()]

    def losses(self) -> list[str]:
        """Return those notes that say that lines are missing."""
        return [self._redactor.text(loss) for loss in self.inner.losses()]

    @property
    def _redactor(self) -> Redactor:
        assert self.redactor is not None
        return self.redactor


def redactor_of(sources: Sequence[Source], tokens: Tokens, envelopes: Mapping[str, Rule], events: Mapping[str, Rule]) -> Redactor:
    """Read the sources of a case once for their names; return what redacts them."""
    return Redactor(tokens, collect(sources, envelopes, words_of(events.values())))


def redacted(source: Source, redactor: Redactor) -> Source:
    """Return a source that gives tokens in place of values, in its lines, its path and its notes."""
    path = redactor.path(source.path)
    machine = redactor.path(source.machine)
    if isinstance(source, Series):
        parts = tuple(redacted(part, redactor) for part in source.parts)
        # A line that two parts share stays two: what is torn in it is no value to the redactor, and must not become one again.
        return Series(path, machine=machine, remarks=[redactor.text(r) for r in source.remarks], parts=parts, mixed=source.mixed)
    same = replace(source, path=path)
    return Redacted(path, same.file, same.encoding, same.first_line, machine=machine, inner=source, redactor=redactor)


def redacted_error(error: SourceError, redactor: Redactor) -> SourceError:
    """Return the error of what cannot be read, without names."""
    return SourceError(redactor.path(str(error)))
