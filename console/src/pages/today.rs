//! Today: what became of orders hour by hour, money, what waits and what is away.

use axum::{Router, extract::RawQuery, routing::get};

use super::{Shown, show};
use crate::{
    Console,
    api_client::query,
    documents::{Flow, Hour, Overview},
    fields::Fields,
    operator::Operator,
    view::{Bar, BarPart, Cell, Chart, Link, Section, Table},
    words,
};

const ADDRESS: &str = "/console/today";
/// Of a bar and the gap after it, in units of the picture.
const BAR: usize = 14;
const HEIGHT: i64 = 120;

pub fn routes() -> Router<Console> {
    Router::new().route(ADDRESS, get(today))
}

async fn today(operator: Operator, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    let path = format!("/v1/overview{}", query(&[("hours", asked.given("hours"))]));
    let overview: Overview = operator.get(&path).await?;
    let hours = overview.hours.len();
    let mut sections = vec![
        Section::Links(vec![
            Link::new("24 hours", ADDRESS),
            Link::new("48 hours", format!("{ADDRESS}?hours=48")),
            Link::new("7 days", format!("{ADDRESS}?hours=168")),
        ]),
        waiting(&overview),
        Section::Chart(chart(&overview.hours)),
    ];
    let flow = |flow: &Flow| {
        vec![
            Cell::text(&flow.currency),
            Cell::money(flow.captured, &flow.currency),
            Cell::money(flow.refunded, &flow.currency),
        ]
    };
    let money = overview.money.iter().map(flow).collect();
    let caption = format!("Money of the last {hours} hours");
    sections.push(Section::Table(Table::new(caption, &["Currency", "Captured", "Refunded"], money)));
    let rows = overview.hours.iter().rev().map(row).collect();
    let columns = ["Hour", "Placed", "Paid", "Expired", "Cancelled"];
    sections.push(Section::Table(Table::new(format!("Orders of the last {hours} hours"), &columns, rows)));
    Ok(show(&operator, "Today", sections))
}

fn waiting(overview: &Overview) -> Section {
    let waiting = &overview.waiting;
    let open = words::grouped(waiting.open_exceptions);
    let sum = |of: fn(&Hour) -> i64| Cell::number(overview.hours.iter().map(of).sum());
    let away: Vec<&str> = overview.away.iter().map(String::as_str).collect();
    Section::Facts(vec![
        ("Open exceptions", Cell::link(open, "/console/exceptions")),
        ("Placed", sum(|hour| hour.placed)),
        ("Paid", sum(|hour| hour.paid)),
        ("Expired", sum(|hour| hour.expired)),
        ("Cancelled", sum(|hour| hour.cancelled)),
        ("Orders whose workflow is not started", Cell::number(waiting.unstarted_orders)),
        ("Events that are not carried away", Cell::number(waiting.unpublished_events)),
        ("Money that nobody has looked at, since", Cell::time(waiting.oldest_unsettled_at)),
        ("Webhooks that wait", Cell::number(waiting.pending_deliveries)),
        ("Webhook endpoints that are disabled", Cell::number(waiting.disabled_endpoints)),
        ("Away", if away.is_empty() { Cell::text("nothing") } else { Cell::text(away.join(", ")) }),
    ])
}

fn row(hour: &Hour) -> Vec<Cell> {
    let Hour { at, placed, paid, expired, cancelled } = hour;
    let numbers = [placed, paid, expired, cancelled].map(|number| Cell::number(*number));
    [Cell::Time(*at)].into_iter().chain(numbers).collect()
}

/// A bar for each hour; what stands in it is said beside it, and in the table below.
fn chart(hours: &[Hour]) -> Chart {
    let all = |hour: &Hour| hour.placed + hour.paid + hour.expired + hour.cancelled;
    let most = hours.iter().map(all).max().unwrap_or(0).max(1);
    let bar = |(i, hour): (usize, &Hour)| {
        let mut y = HEIGHT;
        let parts = [
            ("placed", hour.placed),
            ("paid", hour.paid),
            ("expired", hour.expired),
            ("cancelled", hour.cancelled),
        ];
        let parts = parts.map(|(class, count)| {
            let height = count * HEIGHT / most;
            y -= height;
            BarPart { y, height, class }
        });
        let title = format!(
            "{}: {} placed, {} paid, {} expired, {} cancelled",
            hour.at, hour.placed, hour.paid, hour.expired, hour.cancelled
        );
        Bar { x: i * BAR + 2, parts: parts.into_iter().filter(|part| part.height > 0).collect(), title }
    };
    Chart {
        title: format!(
            "Orders of the last {} hours, hour by hour; the same is in the table below",
            hours.len()
        ),
        bars: hours.iter().enumerate().map(bar).collect(),
        width: hours.len() * BAR,
    }
}
