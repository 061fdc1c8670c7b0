"""Reports of runs, each from their records alone: terminal, Markdown, HTML, JSON, CSV."""
