"""Environment variables, validated: an invalid value raises ImproperlyConfigured with the name of its variable."""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from kernel.config.rates import Rate, parse_rate

_BOOLEANS = {"true", "on", "ok", "y", "yes", "1", "false", "off", "n", "no", "0", ""}
MIN_TOKEN_LENGTH = 24
_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceToken:
    """A token of another service, and what it may do with it."""

    service: str
    scopes: frozenset[str]
    token: str


class Environment(environ.Env):  # type: ignore[misc]  # it has no types
    """django-environ with useful errors.

    By itself it reports "invalid literal for int()", and takes any word that it does not know for false.
    """

    def get_value(
        self,
        var: str,
        cast: Any = None,
        default: Any = environ.Env.NOTSET,
        parse_default: Any = False,  # noqa: FBT002 - its signature
    ) -> Any:
        value = self.ENVIRON.get(var)
        invalid = ImproperlyConfigured(f"{var} is {value!r}. Set it to {_TYPE_NAMES.get(cast, 'another value')}.")
        if cast is bool and value is not None and value.lower() not in _BOOLEANS:
            raise invalid
        try:
            return super().get_value(var, cast, default, parse_default)
        except ValueError as error:
            raise invalid from error

    def list(self, var: str, *arguments: Any, **options: Any) -> list[Any]:
        """Return the values between commas, without spaces around them."""
        values = super().list(var, *arguments, **options)
        return [value for value in (value.strip() for value in values) if value]

    def choice(self, var: str, *choices: str, default: str) -> str:
        """Return one of `choices`."""
        value: str = self.str(var, default=default)
        if value not in choices:
            raise ImproperlyConfigured(f"{var} is {value!r}. Set it to one of: {', '.join(choices)}.")
        return value

    def rate(self, var: str, *, default: str) -> Rate:
        """Return a rate, see `kernel.config.rates`."""
        value: str = self.str(var, default=default)
        try:
            return parse_rate(value)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var} is {value!r}. Set it to a rate, such as {default}, or to 0.") from error

    def address(self, var: str, *schemes: str, default: Any = environ.Env.NOTSET) -> str:
        """Return a URL with one of `schemes` and a host or path. Any other value is valid only as the default."""
        value: str = self.str(var, default=default)
        parts = urlsplit(value)
        if value != default and (parts.scheme not in schemes or not (parts.hostname or parts.path)):
            # The value itself is not shown: it may contain a password.
            raise ImproperlyConfigured(f"{var} is not a URL. Set it to something like {schemes[0]}://host.")
        return value

    def mail_server(self, var: str) -> dict[str, Any]:
        """Return Django's EMAIL_* settings from a URL such as smtp+tls://user:password@host:587."""
        # The value itself is not shown: it may contain a password.
        invalid = ImproperlyConfigured(
            f"{var} is not a URL of a mail server. Set it to something like smtp+tls://user:password@host:587."
        )
        try:
            found: dict[str, Any] = self.email_url_config(self.str(var))
        except (ValueError, ImproperlyConfigured) as error:
            raise invalid from error
        if "smtp" in found["EMAIL_BACKEND"] and not found["EMAIL_HOST"]:
            raise invalid
        return found

    def networks(self, var: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Return the networks between commas, such as 10.0.0.0/8. None by default."""
        try:
            return tuple(ipaddress.ip_network(value) for value in self.list(var, default=[]))
        except ValueError as error:
            raise ImproperlyConfigured(f"{var}: {error}. Set it to networks such as 10.0.0.0/8,fd00::/8.") from error

    def service_tokens(self, var: str, *, scopes: Collection[str]) -> tuple[ServiceToken, ...]:
        """Return the tokens between commas, each `service:scope+scope:token`. None by default."""
        return tuple(_service_token(var, value, scopes) for value in self.list(var, default=[]))

    def public_key(self, var: str) -> str:
        """Return an RSA public key as PEM, or an empty string."""
        value: str = self.str(var, default="", multiline=True)
        if value and not _is_public_key(value):
            raise ImproperlyConfigured(
                f"{var} is not an RSA public key. Set it to one in PEM format; newlines may be written as \\n."
            )
        return value


def _service_token(var: str, value: str, known: Collection[str]) -> ServiceToken:
    service, _, rest = value.partition(":")
    scopes, _, token = rest.partition(":")
    # The value itself is not shown: it is a password.
    if not service or _unknown_scopes(scopes, known):
        raise ImproperlyConfigured(
            f"{var} must look like service:scope+scope:token. The scopes are {', '.join(known)}."
        )
    if len(token) < MIN_TOKEN_LENGTH:
        raise ImproperlyConfigured(f"{var}: the token of {service} has fewer than {MIN_TOKEN_LENGTH} characters.")
    return ServiceToken(service=service, scopes=frozenset(scopes.split("+")), token=token)


def _unknown_scopes(scopes: str, known: Collection[str]) -> set[str]:
    return set(scopes.split("+")) - set(known)


def _is_public_key(pem: str) -> bool:
    # Imported here: it takes 8 MB of each process, and most do not need it.
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return isinstance(load_pem_public_key(pem.encode()), RSAPublicKey)
    except ValueError:
        return False
