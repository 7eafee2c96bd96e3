"""What a person keeps in the editor: settings and files, each account its own."""
