"""Reading the environment so that a value that can not be is refused by the name of its variable."""

from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

_BOOLEANS = {"true", "on", "ok", "y", "yes", "1", "false", "off", "n", "no", "0", ""}
_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}


class Environment(environ.Env):  # type: ignore[misc]  # it has no types
    """django-environ, which says "invalid literal for int()" and takes any word that it does not know for false."""

    def get_value(
        self,
        var: str,
        cast: Any = None,
        default: Any = environ.Env.NOTSET,
        parse_default: Any = False,  # noqa: FBT002 - its signature
    ) -> Any:
        given = self.ENVIRON.get(var)
        refusal = ImproperlyConfigured(f"{var} is {given!r}. Set it to {_KINDS.get(cast, 'another value')}.")
        if cast is bool and given is not None and given.lower() not in _BOOLEANS:
            raise refusal
        try:
            return super().get_value(var, cast, default, parse_default)
        except ValueError as error:
            raise refusal from error

    def one_of(self, var: str, *choices: str, default: str) -> str:
        given: str = self.str(var, default=default)
        if given not in choices:
            raise ImproperlyConfigured(f"{var} is {given!r}. Set it to one of: {', '.join(choices)}.")
        return given

    def address(self, var: str, *schemes: str, default: Any = environ.Env.NOTSET) -> str:
        """A URL with one of these schemes and a host; empty only where that is the default."""
        given: str = self.str(var, default=default)
        parts = urlsplit(given)
        if given != default and (parts.scheme not in schemes or not (parts.hostname or parts.path)):
            raise ImproperlyConfigured(
                f"{var} is no address. Set it to something like {schemes[0]}://host."
            )  # no password
        return given

    def public_key(self, var: str) -> str:
        """An RSA key as PEM, or nothing."""
        given: str = self.str(var, default="", multiline=True)
        if given and not _is_public_key(given):
            raise ImproperlyConfigured(
                f"{var} is no public RSA key. Set it to one as PEM; line ends may be written as \\n."
            )
        return given


def _is_public_key(given: str) -> bool:
    # Here, since it takes 8 MB of each process, and most need it not.
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return isinstance(load_pem_public_key(given.encode()), RSAPublicKey)
    except ValueError:
        return False
