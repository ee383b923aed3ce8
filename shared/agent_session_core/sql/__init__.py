"""The storage layer: engines, tables and statements."""
