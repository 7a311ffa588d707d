"""What users need to test their tasks."""
