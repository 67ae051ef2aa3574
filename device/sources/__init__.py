"""What readings come from; `source.Source` is what all of them look like."""
