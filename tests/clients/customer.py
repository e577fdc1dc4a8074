"""A customer, by the generated Python client: registers, finds the code in the mail, signs in, orders, and sees
only what is theirs. Wants the API's address, the mail catcher's page, and an order of somebody else."""

import json
import re
import sys
import time
from urllib.request import urlopen
from uuid import uuid4

from holdfast_client import AuthenticatedClient, Client
from holdfast_client.api.accounts import (
    get_account, refresh_session, register_account, sign_in, sign_out, verify_account,
)
from holdfast_client.api.orders import get_order, list_orders, place_order
from holdfast_client.models import (
    Account, ListOrder, Order, PlaceLine, PlaceOrder, Problem, Refresh, Register, Session, SignIn, Verified, Verify,
)

PASSWORD = "correct horse battery staple"


def code_mailed_to(email: str, mails: str) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for message in json.load(urlopen(f"{mails}/api/v1/messages"))["messages"]:
            if message["To"][0]["Address"] == email:
                text = json.load(urlopen(f"{mails}/api/v1/message/{message['ID']}"))["Text"]
                return re.search(r"^\s*(\d{6})\s*$", text, re.MULTILINE).group(1)
        time.sleep(0.1)
    raise SystemExit("waited in vain for the mail")


def main(base_url: str, mails: str, of_another: str) -> None:
    stranger = Client(base_url=base_url)
    email = f"py.{uuid4().hex}@example.org"
    register_account.sync(client=stranger, body=Register(email=email, password=PASSWORD))
    code = code_mailed_to(email, mails)
    early = sign_in.sync(client=stranger, body=SignIn(email=email, password=PASSWORD))
    assert isinstance(early, Problem) and early.code == "email_not_verified", early
    verified = verify_account.sync(client=stranger, body=Verify(email=email, code=code))
    assert isinstance(verified, Verified) and verified.has_password, verified
    session = sign_in.sync(client=stranger, body=SignIn(email=email, password=PASSWORD))
    assert isinstance(session, Session), session

    client = AuthenticatedClient(base_url=base_url, token=session.access_token)
    account = get_account.sync(client=client)
    assert isinstance(account, Account) and account.id == verified.id and account.email == email, account
    wanted = PlaceOrder(currency="EUR", lines=[PlaceLine(sku="tea", quantity=1)])
    order = place_order.sync(client=client, body=wanted, idempotency_key=str(uuid4()))
    assert isinstance(order, Order) and order.customer.id == account.id, order
    mine = list_orders.sync(client=client)
    assert isinstance(mine, ListOrder) and [it.id for it in mine.data] == [order.id], mine
    hidden = get_order.sync(of_another, client=client)
    assert isinstance(hidden, Problem) and hidden.code == "order_not_found", hidden
    refreshed = refresh_session.sync(client=stranger, body=Refresh(refresh_token=session.refresh_token))
    assert isinstance(refreshed, Session), refreshed
    assert sign_out.sync_detailed(client=client).status_code == 204
    ended = refresh_session.sync(client=stranger, body=Refresh(refresh_token=refreshed.refresh_token))
    assert isinstance(ended, Problem) and ended.code == "refresh_token_invalid", ended
    print("all as it should be")


main(*sys.argv[1:])
