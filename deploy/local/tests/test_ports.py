import os
import socket

import pytest

from local.errors import PortTaken
from local.ports import free_ports, holder_of, is_free, require_free, taken_sentence
from local.process_table import BY_NAME, NAMES

GATEWAY = BY_NAME["gateway"]


def test_a_taken_port_is_told_in_one_sentence_with_what_to_change() -> None:
    assert taken_sentence(GATEWAY, 8000, "nginx (pid 7)") == (
        "Port 8000, which gateway needs, is taken by nginx (pid 7): "
        "end that, or set HOPLINE_GATEWAY_PORT to a free port."
    )


def test_an_unknown_holder_is_another_program() -> None:
    assert "is taken by another program:" in taken_sentence(GATEWAY, 8000, None)


def test_a_listening_socket_takes_its_port_and_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        assert f"(pid {os.getpid()})" in (holder_of(port) or "")
        with pytest.raises(PortTaken, match=f"Port {port}, which gateway needs"):
            require_free(GATEWAY, "127.0.0.1", port)
    assert is_free("127.0.0.1", port)


def test_free_ports_are_one_for_each_process_and_no_two_alike() -> None:
    ports = free_ports()
    assert set(ports) == set(NAMES)
    assert len(set(ports.values())) == len(NAMES)
