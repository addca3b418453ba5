"""Operations on mail, a file per verb."""

from mail.services.collecting import collect
from mail.services.forgetting import forget_buyer
from mail.services.purging import purge
from mail.services.resending import send_again
from mail.services.sending import send_mails
from mail.services.subscribing import unsubscribe

__all__ = ["collect", "forget_buyer", "purge", "send_again", "send_mails", "unsubscribe"]
