"""What a client of the native API pays for Atelier: a prompt's way there and back, and many open sockets."""
