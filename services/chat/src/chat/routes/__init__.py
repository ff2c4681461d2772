"""What the gateway asks of chat, over HTTP. Every route takes its person from the signed service token."""
