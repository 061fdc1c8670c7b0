"""What a check leaves: terminal, Markdown, JSON, JUnit and workflow annotations."""
