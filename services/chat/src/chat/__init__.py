"""Chat: accepts turns and answers them. Owns conversations, messages, turns and the provider calls behind them.

Two processes share this package and its database: `chat` (HTTP) and `chat-worker` (runs turns).

| folder or module | holds |
|---|---|
| `routes` → `accept_turn`, `conversations`, `stop_turn` | what the gateway asks |
| `worker` → `process_chat_message` → `provider`, `save_conversation` | how a turn is answered |
| `running_turns`, `keep_leases`, `publish_events` | what the worker holds while it answers |
| `sweep` | what makes good whatever a crash left |
| `stores` | SQL |
"""
