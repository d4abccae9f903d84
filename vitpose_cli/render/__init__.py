"""Labels drawn onto photos and videos."""
