"""One module per command: it reads its options, opens what it needs, calls one service, prints."""
