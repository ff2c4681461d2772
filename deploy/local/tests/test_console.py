import io
import threading
from pathlib import Path

from local.console import WAITING_LINES, BoundedLog, Console
from local.log_view import is_of


def console(tmp_path: Path, terminal: io.StringIO, *, colour: bool = False) -> Console:
    return Console(terminal, BoundedLog(tmp_path / "logs" / "hopline.log"), colour=colour, since=0.0)


def test_each_line_bears_its_process_on_the_terminal_and_in_the_file(tmp_path: Path) -> None:
    terminal = io.StringIO()
    log = console(tmp_path, terminal)
    log.line("chat", "hello")
    log.close()
    assert terminal.getvalue() == "chat            | hello\n"
    assert (tmp_path / "logs" / "hopline.log").read_text() == "chat            | hello\n"


def test_colour_is_for_the_prefix_and_never_in_the_file(tmp_path: Path) -> None:
    terminal = io.StringIO()
    log = console(tmp_path, terminal, colour=True)
    log.line("chat", "hello")
    log.close()
    assert terminal.getvalue() == "\x1b[32mchat            |\x1b[0m hello\n"
    assert "\x1b" not in (tmp_path / "logs" / "hopline.log").read_text()


def test_a_terminal_that_stands_still_holds_nobody_up(tmp_path: Path) -> None:
    class Still(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.moves = threading.Event()

        def write(self, text: str, /) -> int:
            self.moves.wait(10)
            return super().write(text)

    terminal = Still()
    log = console(tmp_path, terminal)
    for number in range(WAITING_LINES + 10):
        log.line("chat", str(number))  # returns at once
    terminal.moves.set()
    log.close()
    assert "lines were dropped: the terminal was too slow" in terminal.getvalue()


def test_the_log_file_keeps_to_its_size(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "hopline.log", longest=1000)
    for _ in range(100):
        log.write("x" * 99 + "\n")
    log.close()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert sum(sizes) <= 2 * 1100
    assert (tmp_path / "hopline.log").stat().st_mode & 0o777 == 0o600


def test_a_line_belongs_to_the_process_that_it_names() -> None:
    assert is_of("chat            | chat-worker | x\n", "chat")
    assert not is_of("chat-worker     | chat\n", "chat")
    assert is_of("chat-worker     | chat\n", None)
