"""The words of a `/v1` stream: what was sent can't be taken back.

A turn that is taken over may say its text again from some offset. As long as the words are the same nothing is sent,
and after them it goes on; other words can't be told to the caller any more.
"""


class WordsDiffer(Exception):
    """The answer was begun again with other words than were sent. A new request gets a whole one."""


class SentWords:
    def __init__(self) -> None:
        self._parts: list[str] = []
        self._sent = 0
        self._position = 0
        """Of the answer's own text: less than was sent while it says again what it had said."""

    def restart(self, offset: int) -> None:
        self._position = min(self._position, offset)

    def news(self, text: str) -> str:
        """The part of `text`, which comes next in the answer, that was not sent yet. It counts as sent now.

        Raises:
            WordsDiffer: as the class says.
        """
        again = min(len(text), self._sent - self._position)
        if again and self._whole()[self._position : self._position + again] != text[:again]:
            raise WordsDiffer
        self._position += len(text)
        new = text[again:]
        if new:
            self._parts.append(new)
            self._sent += len(new)
        return new

    def end(self) -> None:
        """Raises:
        WordsDiffer: the answer is over and shorter than what was sent.
        """
        if self._position < self._sent:
            raise WordsDiffer

    def _whole(self) -> str:
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""
