"""SQL. Each function takes a connection with an open transaction; who commits is the caller's business."""
