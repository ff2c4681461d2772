"""The health check of a container: `python -I -S ready.py PORT [PATH]` ends with 0 when the answer is 200.

It runs every few seconds in each container: a socket is all that it loads.
"""

import socket
import sys

TIMEOUT_S = 3.0


def answers_200(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            return connection.makefile("rb").readline().split()[1:2] == [b"200"]
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not answers_200(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "/readyz"))
