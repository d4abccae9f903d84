"""The local page on which a person corrects labels, and everything behind it but the records."""
