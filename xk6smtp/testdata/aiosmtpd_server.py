"""An aiosmtpd server for tests of the client: STARTTLS, AUTH PLAIN and LOGIN, SIZE, 8BITMIME, SMTPUTF8.

It refuses recipients whose address begins with "refused", and its reply to a message holds the message's SHA-256. It says its port on
standard output and serves until its standard input ends.
"""
import asyncio
import hashlib
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        return "250 2.0.0 sha256 " + hashlib.sha256(envelope.original_content).hexdigest()


async def main(cert, key, user, password, limit, implicit):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    def authenticate(server, session, envelope, mechanism, data):
        right = data.login == user.encode() and data.password == password.encode()
        return AuthResult(success=right, handled=False)

    def new():
        return SMTP(
            Handler(), hostname="aiosmtpd.test", data_size_limit=limit, enable_SMTPUTF8=True, auth_require_tls=False,
            authenticator=authenticate, tls_context=None if implicit else context)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(new, "127.0.0.1", 0, ssl=context if implicit else None)
    print("%s:%d" % server.sockets[0].getsockname(), flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


asyncio.run(main(**json.loads(sys.argv[1])))
