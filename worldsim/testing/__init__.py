"""Public conformance kits: a plug-in author's test is four lines."""
