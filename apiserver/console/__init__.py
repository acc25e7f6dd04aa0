"""The web console: its page, and the stream of figures that it and `ultraplane top` show."""
