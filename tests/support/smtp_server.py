"""A real mail server for one test (aiosmtpd): takes mail, and says each as a line of JSON on its output.

Addresses choose what happens: gone@ is unknown, policy@ is not allowed, quota@ is too many for today, later@ is not taken now, hang@ is never answered, and
mail with `drop` in its subject is taken in without a word, and the connection closed; with `silent` there is no word at all.

Arguments: {"cert": FILE, "key": FILE, "tls": "smtps" | "starttls" | null, "user": NAME, "password": TEXT}
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

options = json.loads(sys.argv[1])


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        name = address.split("@")[0]
        if name.startswith("gone"):
            return "550 5.1.1 there is nobody of that name"
        if name.startswith("policy"):
            return "550 5.7.1 relaying denied"
        if name.startswith("quota"):
            return "550 5.4.5 Daily sending quota exceeded"
        if name.startswith("later"):
            return "451 4.3.0 come back later"
        if name.startswith("hang"):
            await asyncio.sleep(3600)
        if name.startswith("bye"):
            server.transport.abort()
            return "250 OK"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        text = envelope.original_content.decode("utf-8", "replace")
        if "Subject: drop" in text:
            server.transport.abort()
            return "250 OK"
        if "Subject: silent" in text:
            await asyncio.sleep(3600)
        if "Subject: refuse" in text:
            return "554 5.6.0 this content is not taken"
        said = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "text": text}
        said["tls"] = session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None
        said["user"] = session.auth_data.login.decode() if session.auth_data else None
        print(json.dumps(said), flush=True)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    known = data.login.decode() == options.get("user") and data.password.decode() == options.get("password")
    # What is not handled here is answered by the server itself: 535.
    return AuthResult(success=known, handled=False, auth_data=data)


def context():
    if not options.get("cert"):
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(options["cert"], options["key"])
    return made


async def serve():
    starttls = options.get("tls") == "starttls"

    def protocol():
        return SMTP(
            Handler(),
            tls_context=context() if starttls else None,
            authenticator=authenticate if options.get("user") else None,
            auth_required=bool(options.get("user")),
            auth_require_tls=starttls,
            enable_SMTPUTF8=True,
        )

    direct = context() if options.get("tls") == "smtps" else None
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=direct)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    # It ends with the test that started it.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(serve())
