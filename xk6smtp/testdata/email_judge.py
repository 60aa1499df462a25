"""Says what Python's email package makes of messages: one JSON object a line with the octets in base64 comes in, one goes out.

It is the judge of what the client builds, and shares no line of code with it.
"""
import base64
import email
import email.policy
import email.utils
import inspect
import json
import sys
from email.header import decode_header, make_header


# The answer to CVE-2023-27043 has getaddresses refuse what it may misread, a quoted local part with a bracket among it. Where it came (also to
# older Pythons, by distributions) it can be switched off: the addresses themselves are judged by the newer interface.
lenient = {"strict": False} if "strict" in inspect.signature(email.utils.getaddresses).parameters else {}


def addresses(message, plain, name):
    value = message[name]
    if value is None:
        return None
    specs = [a.addr_spec for a in value.addresses]
    # The older interface decodes names: the newer one keeps the blanks between encoded words, which RFC 2047 section 6.2 has ignored.
    unfolded = plain[name].replace("\r", "").replace("\n", "")
    names = [str(make_header(decode_header(n))) for n, _ in email.utils.getaddresses([unfolded], **lenient)]
    return [[n, s] for n, s in zip(names, specs, strict=True)]


def leaf(part):
    content = part.get_payload(decode=True)
    return {
        "type": part.get_content_type(),
        "filename": part.get_filename(),
        "name": part.get_param("name") if not isinstance(part.get_param("name"), tuple) else email.utils.collapse_rfc2231_value(part.get_param("name")),
        "cid": part["content-id"],
        "content": base64.b64encode(content).decode(),
    }


for line in sys.stdin:
    wire = base64.b64decode(json.loads(line)["wire"])
    # From text: the parser of octets takes no UTF-8 in header fields (RFC 6532). Bodies are ASCII on the wire.
    message = email.message_from_string(wire.decode("utf-8"), policy=email.policy.SMTPUTF8)
    plain = email.message_from_string(wire.decode("utf-8"))
    parts = [p for p in message.walk() if not p.is_multipart()]
    print(json.dumps({
        "from": addresses(message, plain, "from"), "to": addresses(message, plain, "to"), "cc": addresses(message, plain, "cc"),
        "replyTo": addresses(message, plain, "reply-to"), "sender": addresses(message, plain, "sender"), "resentTo": addresses(message, plain, "resent-to"),
        "subject": message["subject"], "x": message["x-text"],
        "defects": [str(d) for part in message.walk() for d in part.defects] + [str(d) for name in message.keys() for d in message[name].defects],
        "names": message.keys(),
        "parts": [leaf(p) for p in parts],
    }), flush=True)
