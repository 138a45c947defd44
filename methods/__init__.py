"""One file a method or a family of them; `_` starts what several share. Found by its file, never imported."""
