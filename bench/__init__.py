"""What Hopline costs, measured on the real stack beside a direct call and the plainest pass-through. See README.md."""
