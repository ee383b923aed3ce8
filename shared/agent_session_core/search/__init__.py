"""Finding past messages: pure parts that every index shares, and the index inside the database."""
