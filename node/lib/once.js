// Types alone: once.d.ts.
