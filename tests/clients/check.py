"""Sells, pays, refunds and reads by the client that openapi-python-client generated. Wants the API's address and its key."""

import sys
import time
from uuid import uuid4

from holdfast_client import AuthenticatedClient
from holdfast_client.api.catalogue import put_product
from holdfast_client.api.orders import get_order, get_order_timeline, list_orders, place_order
from holdfast_client.api.payments import list_refunds, request_refund
from holdfast_client.api.sandbox import pay_order
from holdfast_client.api.stock import adjust_inventory
from holdfast_client.models import (
    Adjustment, Customer, Inventory, ListOrder, ListRefund, ListTimelineEntry, Order, OrderPlaced, OrderStatus, Paid, PaymentStatus, PlaceLine,
    PlaceOrder, Problem, Product, PutProduct, Refund, RequestRefund, ReturnLine,
)


def until(what, ask):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (answer := ask()) is not None:
            return answer
        time.sleep(0.1)
    raise SystemExit(f"waited in vain: {what}")


def main(base_url: str, key: str) -> None:
    client = AuthenticatedClient(base_url=base_url, token=key, raise_on_unexpected_status=True)
    product = put_product.sync("py tea/green+1", client=client, body=PutProduct(name="Tea", unit_price=1250, currency="EUR"))
    assert isinstance(product, Product), product
    stock = adjust_inventory.sync(product.sku, client=client, body=Adjustment(delta=10, reason="delivery"))
    assert isinstance(stock, Inventory) and stock.available == 10, stock

    wanted = PlaceOrder(
        customer=Customer(id="auth0|py-1", email="ann@bücher.example"),
        currency="EUR",
        lines=[PlaceLine(sku=product.sku, quantity=2)],
    )
    order = place_order.sync(client=client, body=wanted, idempotency_key=str(uuid4()))
    assert isinstance(order, Order) and order.status is OrderStatus.AWAITING_PAYMENT, order
    paid = pay_order.sync(order.id, client=client)
    assert isinstance(paid, Paid) and paid.amount == 2500, paid

    def completed():
        read = get_order.sync(order.id, client=client)
        assert isinstance(read, Order), read
        return read if read.status is OrderStatus.COMPLETED else None

    read = until("completed", completed)
    assert read.payment_status is PaymentStatus.PAID and read.total == 2500
    refund = request_refund.sync(
        order.id,
        client=client,
        body=RequestRefund(reason="came back", lines=[ReturnLine(sku=product.sku, quantity=1)]),
        idempotency_key=str(uuid4()),
    )
    assert isinstance(refund, Refund) and refund.amount == 1250, refund

    def refunded():
        refunds = list_refunds.sync(order.id, client=client)
        assert isinstance(refunds, ListRefund), refunds
        return refunds if refunds.data[0].state.value == "succeeded" else None

    until("refunded", refunded)
    mine = list_orders.sync(client=client, customer="auth0|py-1", status=OrderStatus.COMPLETED, limit=5)
    assert isinstance(mine, ListOrder) and [it.id for it in mine.data] == [order.id], mine
    timeline = get_order_timeline.sync(order.id, client=client)
    assert isinstance(timeline, ListTimelineEntry), timeline
    first = timeline.data[0]
    assert isinstance(first, OrderPlaced) and first.data.total == 2500, first

    too_many = PlaceOrder(customer=wanted.customer, currency="EUR", lines=[PlaceLine(sku=product.sku, quantity=10)])
    problem = place_order.sync(client=client, body=too_many, idempotency_key=str(uuid4()))
    assert isinstance(problem, Problem) and problem.code == "insufficient_stock", problem
    assert problem.shortages[0].available == 9, problem
    unknown = get_order.sync("ord_" + "0" * 32, client=client)
    assert isinstance(unknown, Problem) and unknown.code == "order_not_found", unknown
    print("all as it should be")


main(*sys.argv[1:])
