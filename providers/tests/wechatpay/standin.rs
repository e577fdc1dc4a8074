//! A stand-in for WeChat Pay: verifies each request as strictly as it does, keeps orders and refunds, and
//! signs what it says.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use domain::Timestamp;
use serde_json::{Value, json};

use super::{
    keys::{MERCHANT, NEXT_PLATFORM, PLATFORM, Pair},
    routes,
};

pub const MERCHANT_ID: &str = "1900000001";

/// How the next answers are spoilt.
#[derive(Clone, Copy, PartialEq)]
pub enum Fault {
    None,
    Unsigned,
    BodyChanged,
    NonceChanged,
    Old,
    UnknownSerial,
    SignTest,
    /// This instead of the truth, signed where WeChat Pay signs.
    Says(u16, &'static str),
    Endless,
    Silent,
}

pub struct World {
    pub orders: HashMap<String, Value>,
    pub refunds: HashMap<String, Value>,
    pub bills: HashMap<String, String>,
    pub fault: Fault,
    pub signer: &'static Pair,
    /// The bodies of requests, newest last, and the serials that they asked for.
    pub seen: Vec<(String, Value)>,
    pub asked_serials: Vec<Option<String>>,
    pub bill_spoilt: bool,
    pub address: String,
    nonces: HashSet<String>,
}

#[derive(Clone)]
pub struct StandIn(pub Arc<Mutex<World>>);

impl StandIn {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let world = World {
            orders: HashMap::new(),
            refunds: HashMap::new(),
            bills: HashMap::new(),
            fault: Fault::None,
            signer: &PLATFORM,
            seen: Vec::new(),
            asked_serials: Vec::new(),
            bill_spoilt: false,
            address: format!("http://{}", listener.local_addr().unwrap()),
            nonces: HashSet::new(),
        };
        let this = Self(Arc::new(Mutex::new(world)));
        let app = Router::new().fallback(answer).with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        this
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    pub fn address(&self) -> String {
        self.with(|world| world.address.clone())
    }

    /// The payer pays.
    pub fn pay(&self, out_trade_no: &str) {
        self.set_state(out_trade_no, "SUCCESS");
    }

    pub fn set_state(&self, out_trade_no: &str, state: &str) {
        self.with(|world| world.orders.get_mut(out_trade_no).unwrap()["trade_state"] = json!(state));
    }

    pub fn last_body(&self) -> Value {
        self.with(|world| world.seen.last().unwrap().1.clone())
    }
}

async fn answer(State(standin): State<StandIn>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1_000_000).await.unwrap();
    if standin.with(|world| world.fault == Fault::Silent) {
        std::future::pending::<()>().await;
    }
    let target = parts.uri.path_and_query().unwrap().as_str().to_owned();
    standin.with(|world| {
        if let Err(why) = authorised(world, parts.method.as_str(), &target, &parts.headers, &body) {
            return unsigned(401, json!({ "code": "SIGN_ERROR", "message": why }).to_string());
        }
        let asked = parts.headers.get("wechatpay-serial").map(|serial| serial.to_str().unwrap().to_owned());
        world.asked_serials.push(asked);
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        world.seen.push((format!("{} {target}", parts.method), body.clone()));
        if parts.uri.path() == "/v3/billdownload/file" {
            return unsigned(200, routes::file(world, &target));
        }
        let (status, text) = match world.fault {
            Fault::Says(status, text) => (status, text.to_owned()),
            _ => routes::route(world, parts.method.as_str(), parts.uri.path(), &target, &body),
        };
        match status {
            200..300 => signed(world, status, text),
            _ => unsigned(status, text),
        }
    })
}

/// `WECHATPAY2-SHA256-RSA2048 mchid="...",nonce_str="...",...`: each field once, signed, fresh, never seen.
fn authorised(
    world: &mut World,
    method: &str,
    target: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(), &'static str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let fields = text("authorization")
        .and_then(|value| value.strip_prefix("WECHATPAY2-SHA256-RSA2048 "))
        .ok_or("no authorization")?;
    let fields: HashMap<_, _> = fields
        .split(',')
        .map(|field| {
            let (name, value) = field.split_once('=').ok_or("no name")?;
            let value =
                value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).ok_or("no quotes")?;
            Ok((name, value))
        })
        .collect::<Result<_, &str>>()?;
    let field = |name: &str| fields.get(name).copied().ok_or("a field is missing");
    let (timestamp, nonce) = (field("timestamp")?, field("nonce_str")?);
    if fields.len() != 5 || field("mchid")? != MERCHANT_ID || field("serial_no")? != MERCHANT.serial {
        return Err("who is it");
    }
    let now_s = Timestamp::now().as_second();
    if timestamp.parse::<i64>().map_or(true, |at| now_s.abs_diff(at) > 300) || nonce.len() > 32 {
        return Err("timestamp or nonce");
    }
    let body = std::str::from_utf8(body).map_err(|_| "UTF-8")?;
    let message = format!("{method}\n{target}\n{timestamp}\n{nonce}\n{body}\n");
    if !MERCHANT.signed(&message, field("signature")?) {
        return Err("signature");
    }
    if !world.nonces.insert(nonce.to_owned()) {
        return Err("nonce seen before");
    }
    let json = method == "GET" || text("content-type") == Some("application/json");
    match json && text("accept") == Some("application/json") && text("user-agent").is_some() {
        true => Ok(()),
        false => Err("headers"),
    }
}

fn signed(world: &World, status: u16, mut text: String) -> Response {
    let fault = world.fault;
    if fault == Fault::Endless {
        text = "x".repeat(10_000_000);
    }
    let signer = if fault == Fault::UnknownSerial { &NEXT_PLATFORM } else { world.signer };
    let at = Timestamp::now().as_second() - if fault == Fault::Old { 400 } else { 0 };
    let mut signature = signer.sign(format!("{at}\nnonce\n{text}\n").as_bytes());
    let mut nonce = "nonce";
    match fault {
        Fault::Unsigned => return unsigned(status, text),
        Fault::BodyChanged => text.push(' '),
        Fault::NonceChanged => nonce = "nonse",
        Fault::SignTest => signature.insert_str(0, "WECHATPAY/SIGNTEST/"),
        _ => {}
    }
    let mut response = unsigned(status, text);
    let headers = [
        ("wechatpay-timestamp", at.to_string()),
        ("wechatpay-nonce", nonce.to_owned()),
        ("wechatpay-serial", signer.serial.to_owned()),
        ("wechatpay-signature", signature),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn unsigned(status: u16, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}
