"""What another program says, without the secrets that it may quote: the second line behind `rules.secret`.

Two ways. Each secret that this process has had in hand is known by itself, however it is spelled. And what looks like
one is blotted out: a connection string's password in a URI or behind its key, a token, a login in a header, a private
key. In doubt too much goes rather than too little.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator

BLOT = "***"
_SHORTEST = 6
"""A shorter secret is not looked for by itself: it would blot out half of all words."""
_MOST = 1000
_PLAIN_WORDS = frozenset({"postgres", "postgresql", "fieldwarden"})

_KEY = (
    r"(?:pass(?:word|wd|phrase)|secret|token|credentials?|user\.info|(?:api|access)[_.-]?key|keystore\.key"
    r"|(?:client|server)_key)[\w.]{0,40}[\"']?\s*[=:]"
)
_UNQUOTED = r"(?!['\"]|`[.,;:)?!]*(?:\s|$))(?:\\.|[^\s\\])+"  # not the backtick behind a name: set `password:`
_LOGIN = r"authorization[\"']?\s*[=:]\s*"
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        # -----BEGIN PRIVATE KEY----- ...
        r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(.+?)(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|$)",
        # sasl.jaas.config=org.apache....PlainLoginModule required username="u" password="p";
        r"jaas\.config[\"']?\s*[=:]\s*([^\n;]+)",
        # Authorization: Basic dTpw
        rf"{_LOGIN}([^\s,;]+)",
        rf"{_LOGIN}(?=([\"']?(?:basic|bearer|digest)\s+[^\s,;]+))",
        r"\b(?:basic|bearer)\s+(?=([a-z0-9+/_.~=-]{8,}))",
        # postgresql://user:pass@host/db, whatever stands in the password; https://token@host
        r"(?<!\S)(?>\S*?://[^\s:/?#@]*:)(\S+)@",
        r"(?<!\S)(?>\S*?https?://)(\S+)@",
        # jdbc:oracle:thin:user/pass@host
        r"(?<!\S)(?>\S*?\bjdbc:oracle:\w+:[^\s/@]{1,300}/)(\S+)@",
        # password=..., "database.password": "...", &sslpassword=...
        rf"{_KEY}({_UNQUOTED})",
        rf"{_KEY}\s+(?=({_UNQUOTED}))",
        rf"{_KEY}\s*'(?=((?:''|\\.|[^'\\])+))",
        rf"{_KEY}\s*\"(?=((?:\"\"|\\.|[^\"\\])+))",
    )
)
"""Each is looked for by itself in the whole text, so that none hides what another would have found, and takes time in
proportion to it: of all places in one word where a URI may begin the first is taken ((?>...)), since it ends at the
same @ as the others; and what is only looked at ((?=...)) holds no other key's own value, or ends where that does."""
_ROUNDS = 4
"""What is blotted out may take a quote with it that ended something else: that is looked at again, so that who scrubs
a second time changes nothing more. All that looked like a secret at first is gone after the first round."""
_VALUE = re.compile(
    r"""(?ix)
    (?P<name> \b (?:column|connector|constraint|database|field|host|plugin|publication|relation|role|schema|server|slot|
        table|topic|user) \s+ (["'`]) [\w.$/:-]{1,100} \2 )          # what a thing is called may be said
    | (?P<before> \b (?:value|string|text|input|literal|number|date)s? \b [\w\s]{0,40} : )         # Bad value: 1
    | (?P<bare> \b value ) \s+ (?! (?:at|cannot|does|for|from|has|in|is|must|of|on|out|to|too|violates|was|with) \b )
    | [\w.+-]+ @ [\w-]+ \. \w                                                        # of somebody
    | (?<! [\w./:-] ) (?: \+? \d (?: [ ().-]? \d ){8,} | [A-Z]{2} \d{2} [A-Z0-9]{8,} ) # a telephone, an account
    | ["`\u2018\u201c\xab{\[] | (?<!\w)' | (?<![<>!])=                           # "1", [1], Struct{id=1}, Key (id)=(1)
    """
)
"""Where a value of a row may begin; `name` where none does."""
_known: dict[str, None] = {}


def learn(secret: str, besides: Iterable[str] = ()) -> None:
    """From now on `scrub` knows this text as a secret: as it is, percent-encoded, escaped, in base64.

    Not where it is as short or as plain as everyday words, nor where it is one of `besides`, which are shown."""
    if len(secret) < _SHORTEST or secret.lower() in _PLAIN_WORDS or secret in besides:
        return
    for form in _forms(secret):
        _known.pop(form, None)
        _known[form] = None
    while len(_known) > _MOST:
        del _known[next(iter(_known))]


def scrub(text: str) -> str:
    """The text with every secret that is known or looks like one replaced by ***."""
    for known in sorted((known for known in tuple(_known) if known in text), key=len, reverse=True):
        text = text.replace(known, BLOT)
    for _ in range(_ROUNDS):
        blotted = _blotted(text)
        if blotted == text:
            break
        text = blotted
    return text


def without_values(text: str) -> str:
    """Another program's words up to where a value of a row may begin."""
    found = next((match for match in _VALUE.finditer(text) if not match["name"]), None)
    if found is None:
        return text
    return f"{text[: found.start()]}{found['before'] or found['bare'] or ''}".rstrip() + " ..."


def _blotted(text: str) -> str:
    parts, end = list[str](), 0
    for first, last in _found(text):
        parts += (text[end:first], BLOT)
        end = last
    return "".join(parts) + text[end:]


def _found(text: str) -> Iterator[tuple[int, int]]:
    """From where to where something secret stands, in order; what meets or overlaps is one."""
    spans = sorted(found.span(1) for pattern in _PATTERNS for found in pattern.finditer(text))
    at = 0
    while at < len(spans):
        first, last = spans[at]
        while at < len(spans) and spans[at][0] <= last:
            last = max(last, spans[at][1])
            at += 1
        yield first, last


def _forms(secret: str) -> Iterator[str]:
    yield secret
    for unreserved in ("-._~", "-._~/", "-._~/:@!$&'()*+,;="):
        yield "".join(_percent(each, unreserved) for each in secret)
    yield repr(secret)[1:-1]
    yield json.dumps(secret)[1:-1]
    yield secret.replace("\\", r"\\").replace("'", r"\'")
    yield secret.replace("'", "''")
    yield base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def _percent(character: str, unreserved: str) -> str:
    if character in unreserved or (character.isascii() and character.isalnum()):
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
