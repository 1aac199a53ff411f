"""A mail server for the journey of the README (needs aiosmtpd): prints what it takes, and knows nobody whose name begins with `gone`.

    python3 mail_server.py [PORT]      8025 where none is given; 0 takes a free one
"""

import asyncio
import sys

try:
    from aiosmtpd.smtp import SMTP
except ImportError:
    sys.exit("this Python has no aiosmtpd: `apt install python3-aiosmtpd` and /usr/bin/python3, or `pip install aiosmtpd`")


class Mailbox:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone"):
            return "550 5.1.1 there is nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        print(f"\n--- for {', '.join(envelope.rcpt_tos)}", flush=True)
        print(envelope.content.decode("utf-8", "replace"), flush=True)
        return "250 OK"


async def serve(port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Mailbox(), enable_SMTPUTF8=True), "127.0.0.1", port)
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


try:
    asyncio.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 8025))
except KeyboardInterrupt:
    pass
