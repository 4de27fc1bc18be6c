"""What requests cost, measured. `make bench` runs `bench.run`; nothing here is part of the server."""
