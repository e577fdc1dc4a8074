//! Where everything is, and what to try first.

use std::{net::SocketAddr, path::Path};

use devstack::EventReceiver;

use super::servers::{Servers, quoted};

#[expect(clippy::print_stdout, reason = "this is what the person at the terminal waits for")]
pub fn print(
    servers: &Servers,
    address: SocketAddr,
    receiver: &EventReceiver,
    api_key: &str,
    data_dir: &Path,
) {
    let api = format!("http://{}", api::loopback(address));
    let given = || "(given)".to_owned();
    let place = concat!(
        r#"{"customer":{"id":"ann","email":"ann@example.org","name":"Ann","time_zone":"Europe/Vienna"},"#,
        r#""currency":"EUR","lines":[{"sku":"tea-green","quantity":2}]}"#
    );
    let auth = format!("-H 'Authorization: Bearer {api_key}'");
    let json = "-H 'Content-Type: application/json'";
    println!(
        "
Holdfast is up.

  API          {api}        key: {api_key}
  Console      {api}/console
  Try it       {api}/docs
  Temporal UI  {ui}        server: {temporal}
  Mails        {mails}        {smtp}
  Events       {events}        as your webhook would get them
  PostgreSQL   {database}
{kafka}  Data         {data}        in another terminal: . {environment}

Place an order, let five hours pass (a reminder is mailed), pay:

  ORDER=$(curl -s -w '\\n' {api}/v1/orders {auth} {json} \
   -H \"Idempotency-Key: try-$(date +%s)\" -d '{place}' \
   | tee -a /dev/stderr | grep -o 'ord_[0-9a-f]*' | head -1)
  curl -s -w '\\n' {api}/v1/sandbox/orders/$ORDER/fast-forward {auth} {json} -d '{{\"duration\":\"PT5H\"}}'
  curl -s -w '\\n' -X POST {api}/v1/sandbox/orders/$ORDER/pay {auth}

Then look at its timeline: curl -s -w '\\n' {api}/v1/orders/$ORDER/timeline {auth}
Ctrl-C stops everything that was started here.
",
        ui = servers.temporal_ui().unwrap_or_else(given),
        temporal = servers.temporal_address(),
        mails = servers.mail_page().unwrap_or_else(given),
        smtp = servers.smtp_url(),
        events = receiver.url(),
        database = servers.database_place(),
        kafka = servers.kafka_place().map_or_else(String::new, |place| format!(
            "  Kafka        {place}        topics: holdfast.orders, ...\n"
        )),
        data = data_dir.display(),
        environment = quoted(&data_dir.join("env").to_string_lossy()),
    );
}
