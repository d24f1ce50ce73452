//! Tests of what crosses a boundary. There is nothing here but them: see `tests/`.
