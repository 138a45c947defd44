"""One file a task; `_` starts what several share. Found by its file, never imported."""
