//! What the stand-in does with a request that is ours.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::{Value, json};

use super::standin::World;

pub const OPENID: &str = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o";
pub const PAID_AT: &str = "2024-03-01T20:15:30+08:00";

type Answer = (u16, String);

fn refuse(status: u16, code: &str, message: &str) -> Answer {
    (status, json!({ "code": code, "message": message, "detail": { "value": OPENID } }).to_string())
}

pub fn route(world: &mut World, method: &str, path: &str, target: &str, body: &Value) -> Answer {
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    match (method, parts.as_slice()) {
        ("POST", ["v3", "pay", "transactions", how @ ("native" | "jsapi")]) => prepay(world, how, body),
        ("GET", ["v3", "pay", "transactions", "out-trade-no", id]) => query(world, id),
        ("POST", ["v3", "pay", "transactions", "out-trade-no", id, "close"]) => close(world, id),
        ("POST", ["v3", "refund", "domestic", "refunds"]) => refund(world, body),
        ("GET", ["v3", "refund", "domestic", "refunds", id]) => match world.refunds.get(*id) {
            Some(refund) => (200, refund.to_string()),
            None => refuse(404, "RESOURCE_NOT_EXISTS", "no such refund"),
        },
        ("GET", ["v3", "bill", "tradebill"]) => bill(world, target),
        _ => refuse(404, "NO_SUCH_PLACE", path),
    }
}

fn prepay(world: &mut World, how: &str, body: &Value) -> Answer {
    let id = body["out_trade_no"].as_str().unwrap().to_owned();
    assert!(id.len() <= 32, "{id}");
    match world.orders.get(&id) {
        Some(order) if order["trade_state"] == "SUCCESS" => return refuse(400, "ORDERPAID", "paid"),
        Some(order) if order["trade_state"] != "NOTPAY" => return refuse(400, "ORDER_CLOSED", "closed"),
        Some(order) if order["request"] != *body => return refuse(403, "OUT_TRADE_NO_USED", "201"),
        _ => {}
    }
    if how == "jsapi" && body["payer"]["openid"] != OPENID {
        let message = format!("openid {} and appid do not match", body["payer"]["openid"].as_str().unwrap());
        return refuse(400, "PARAM_ERROR", &message);
    }
    world.orders.insert(id.clone(), json!({ "trade_state": "NOTPAY", "request": body }));
    match how {
        "native" => (200, json!({ "code_url": format!("weixin://wxpay/bizpayurl?pr={id}") }).to_string()),
        _ => (200, json!({ "prepay_id": format!("wx{id}") }).to_string()),
    }
}

/// An order as the API and webhooks say it. Without an amount before it is paid.
pub fn transaction(id: &str, order: &Value) -> Value {
    let request = &order["request"];
    let mut transaction = json!({
        "appid": request["appid"], "mchid": request["mchid"], "out_trade_no": id,
        "trade_state": order["trade_state"], "trade_state_desc": "in words", "attach": request["attach"],
    });
    if matches!(order["trade_state"].as_str(), Some("SUCCESS" | "REFUND")) {
        let total = &request["amount"]["total"];
        transaction["transaction_id"] = json!("4200000985202103031441826014");
        transaction["success_time"] = json!(PAID_AT);
        transaction["payer"] = json!({ "openid": OPENID });
        transaction["amount"] =
            json!({ "total": total, "payer_total": 1, "currency": "CNY", "payer_currency": "CNY" });
    }
    transaction
}

fn query(world: &World, id: &str) -> Answer {
    match world.orders.get(id) {
        Some(order) => (200, transaction(id, order).to_string()),
        None => refuse(404, "ORDER_NOT_EXIST", "no such order"),
    }
}

/// As in life, 204 also for an order that never was.
fn close(world: &mut World, id: &str) -> Answer {
    let Some(order) = world.orders.get_mut(id) else { return (204, String::new()) };
    match order["trade_state"].as_str().unwrap() {
        "SUCCESS" | "REFUND" => refuse(400, "ORDERPAID", "paid"),
        "USERPAYING" => (202, json!({ "code": "USERPAYING", "message": "types a password" }).to_string()),
        "NOTPAY" => {
            order["trade_state"] = json!("CLOSED");
            (204, String::new())
        }
        _ => (204, String::new()),
    }
}

fn refund(world: &mut World, body: &Value) -> Answer {
    let (id, payment) = (body["out_refund_no"].as_str().unwrap(), body["out_trade_no"].as_str().unwrap());
    let Some(order) = world.orders.get_mut(payment) else {
        return refuse(404, "RESOURCE_NOT_EXISTS", "no such order");
    };
    assert_eq!(body["amount"]["total"], order["request"]["amount"]["total"]);
    if !world.refunds.contains_key(id) {
        let sum = |id: &Value| id["amount"]["refund"].as_i64().unwrap();
        let before: i64 = world.refunds.values().filter(|r| r["out_trade_no"] == payment).map(sum).sum();
        if before + sum(body) > body["amount"]["total"].as_i64().unwrap() {
            return refuse(400, "INVALID_REQUEST", "more than was paid");
        }
        order["trade_state"] = json!("REFUND");
        let refund = json!({
            "refund_id": "50000000382019052709732678859", "out_refund_no": id, "out_trade_no": payment,
            "transaction_id": "1", "channel": "ORIGINAL", "user_received_account": "a card",
            "create_time": PAID_AT, "status": "PROCESSING", "amount": body["amount"],
        });
        world.refunds.insert(id.to_owned(), refund);
    }
    (200, world.refunds[id].to_string())
}

fn bill(world: &World, target: &str) -> Answer {
    let day = target.split_once("bill_date=").unwrap().1.split('&').next().unwrap();
    assert!(target.ends_with("&bill_type=ALL"), "{target}");
    let Some(bill) = world.bills.get(day) else {
        return refuse(400, "NO_STATEMENT_EXIST", "no such bill");
    };
    let sum: String = digest(&SHA1_FOR_LEGACY_USE_ONLY, bill.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let address = format!("{}/v3/billdownload/file?token={day}", world.address);
    (200, json!({ "hash_type": "SHA1", "hash_value": sum, "download_url": address }).to_string())
}

pub fn file(world: &World, target: &str) -> String {
    let mut bill = world.bills[target.split_once("token=").unwrap().1].clone();
    if world.bill_spoilt {
        bill = bill.replace("12.50", "12.51");
    }
    bill
}
