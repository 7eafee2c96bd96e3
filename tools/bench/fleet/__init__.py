"""What many servers cost: scaling, idle time between jobs, claims from long queues, two dispatchers, memory."""
