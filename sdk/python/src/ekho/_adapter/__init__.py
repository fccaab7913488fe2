"""The parts of the adapter: bookkeeping without the network, and the loops on asyncio."""
