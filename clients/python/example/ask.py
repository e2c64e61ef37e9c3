"""python example/ask.py "What is a tier?" """

import asyncio
import os
import sys

from nooble_client import Nooble, NoobleError


async def main() -> None:
    url, key, tenant, tier, agent = (os.environ[f"NOOBLE_{name}"] for name in ("URL", "KEY", "TENANT", "TIER", "AGENT"))
    async with Nooble(url, key=key, tenant=tenant, tier=tier, agent=agent) as nooble, nooble.session("session-1") as session:
        session.on("gap", lambda gap: print("frames are gone:", gap["reason"]))
        answer = session.ask(sys.argv[1] if len(sys.argv) > 1 else "What is a tier?")
        async for piece in answer:
            print("\n(again)" if piece.restarted else "", piece.text, sep="", end="", flush=True)
        print("\nsources:", [source["title"] for source in (await answer)["sources"]])


try:
    asyncio.run(main())
except NoobleError as error:
    sys.exit(f"{error.reason} {error.detail}")
