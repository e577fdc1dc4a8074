//! The daily trade bill: a file of one line for each capture and refund, by Beijing days.
//!
//! A day's bill is made by 10 o'clock (Beijing) of the next day and kept for three months. A refund stands
//! in it at the time it was accepted, not at the time it reached the payer.

use std::collections::HashMap;

use domain::{
    OrderId, Timestamp,
    money::Money,
    statement::{LineKind, Statement, StatementLine, UnreadableLine},
};
use jiff::{ToSpan as _, civil::Date, tz::TimeZone};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde::Deserialize;

use super::{
    WechatPay,
    keys::hex,
    payments::{BEIJING, refuse},
    types::{money, refund_id},
};
use crate::{Error, client::unavailable};

/// WeChat Pay keeps bills for three months.
const MAX_DAYS: usize = 93;
/// The first column of the sums that end a bill.
const SUMS: &str = "总交易单数";

#[derive(Deserialize)]
struct BillAnswer {
    hash_type: String,
    hash_value: String,
    download_url: String,
}

impl WechatPay {
    /// A day whose bill is not there (yet) has no movements.
    pub(super) async fn read_bills(&self, from: Timestamp, until: Timestamp) -> Result<Statement, Error> {
        let mut statement = Statement::default();
        #[expect(clippy::disallowed_methods, reason = "the days that have ended are those of the real time")]
        let now = Timestamp::now();
        for day in days(from, until, now)? {
            if let Some(bill) = self.bill(day).await? {
                let lines =
                    parse(&bill).map_err(|why| Error::Unavailable(format!("bill of {day}: {why}")))?;
                for (number, line) in (1..).zip(lines) {
                    match line {
                        Ok(movement) => statement.lines.push(movement),
                        Err((order, why)) => {
                            let reference = format!("{day}/{number}");
                            let why = format!("line {number} of the bill of {day}: {why}");
                            statement.unreadable.push(UnreadableLine { reference, order, why });
                        }
                    }
                }
            }
        }
        statement.lines.retain(|movement| from <= movement.at && movement.at < until);
        statement.lines.sort_by_key(|movement| movement.at);
        Ok(statement)
    }

    async fn bill(&self, day: Date) -> Result<Option<String>, Error> {
        let query = [("bill_date", day.to_string()), ("bill_type", "ALL".to_owned())];
        let answer = self.client.get::<BillAnswer>(&["v3", "bill", "tradebill"], &query).await;
        let BillAnswer { hash_type, hash_value, download_url } = match answer {
            Err(Error::Refused { code, .. })
                if matches!(code.as_str(), "NO_STATEMENT_EXIST" | "STATEMENT_CREATING") =>
            {
                return Ok(None);
            }
            answer => answer?,
        };
        let file = self.client.download(&download_url).await?;
        let sum = hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, &file).as_ref());
        if hash_type != "SHA1" || !sum.eq_ignore_ascii_case(&hash_value) {
            return Err(unavailable("the bill is not the one that was announced"));
        }
        String::from_utf8(file).map(Some).map_err(|_| unavailable("the bill is not UTF-8"))
    }
}

/// The Beijing days of a span that are over.
fn days(from: Timestamp, until: Timestamp, now: Timestamp) -> Result<Vec<Date>, Error> {
    let day = |at: Timestamp| at.to_zoned(TimeZone::fixed(BEIJING)).date();
    if from >= until {
        return Ok(Vec::new());
    }
    let last_moment = until.saturating_sub(1.nanosecond()).map_err(|_| refuse("SPAN", "no such time"))?;
    let (last, today) = (day(last_moment), day(now));
    let days = day(from).series(1.day()).take_while(|day| *day <= last && *day < today);
    let days: Vec<_> = days.take(MAX_DAYS + 1).collect();
    match days.len() > MAX_DAYS {
        true => Err(refuse("SPAN", "bills go back three months")),
        false => Ok(days),
    }
}

/// A line's movement, or why it has none, and the order that it names.
type Read = Result<StatementLine, (Option<OrderId>, &'static str)>;

/// A header, lines whose cells begin with a backtick each, then a header and a line of sums.
fn parse(bill: &str) -> Result<Vec<Read>, &'static str> {
    let mut lines = bill.trim_start_matches('\u{feff}').lines();
    let names: Vec<_> = lines.next().ok_or("it is empty")?.split(',').map(str::trim).collect();
    let mut read = Vec::new();
    for line in lines {
        if line.starts_with(SUMS) {
            return Ok(read);
        }
        read.push(parse_line(&names, line));
    }
    Err("it has no end")
}

fn parse_line(names: &[&str], line: &str) -> Read {
    let line = line.strip_prefix('`').ok_or((None, "it is not one of movements"))?;
    let cells: Vec<_> = line.split(",`").map(str::trim).collect();
    if cells.len() != names.len() {
        return Err((None, "it has not as many cells as the header"));
    }
    let line = Line(names.iter().copied().zip(cells).collect());
    line.movement().map_err(|why| (line.order(), why))
}

/// Cells by the names of their columns. Old merchants have bills with old names and fewer columns.
struct Line<'a>(HashMap<&'a str, &'a str>);

impl Line<'_> {
    fn movement(&self) -> Result<StatementLine, &'static str> {
        let (kind, fen) = match self.cell(&["交易状态"])? {
            "SUCCESS" => {
                let fen = self.fen(&["订单金额", "总金额", "应结订单金额"])?;
                (LineKind::Captured, fen)
            }
            "REFUND" | "REVOKED" => {
                let number = self.refund_number()?;
                let kind =
                    LineKind::Refunded { refund: refund_id(number), provider_refund_id: number.to_owned() };
                (kind, self.fen(&["申请退款金额", "退款金额"])?)
            }
            _ => return Err("it is neither a capture nor a refund"),
        };
        Ok(StatementLine {
            kind,
            provider_payment_id: self.cell(&["商户订单号"])?.to_owned(),
            order: self.order(),
            money: self.money(fen)?,
            fee: self.fee()?,
            at: self.at()?,
        })
    }

    /// The first of these columns that the bill has.
    fn cell(&self, names: &[&str]) -> Result<&str, &'static str> {
        names.iter().find_map(|name| self.0.get(name).copied()).ok_or("a column is missing")
    }

    /// Ours, or for a reversal the one that WeChat Pay gave.
    fn refund_number(&self) -> Result<&str, &'static str> {
        match self.cell(&["商户退款单号"])? {
            "" | "0" => self.cell(&["微信退款单号"]),
            number => Ok(number),
        }
    }

    fn fen(&self, names: &[&str]) -> Result<i64, &'static str> {
        fen(self.cell(names)?).ok_or("an amount is no number")
    }

    fn money(&self, fen: i64) -> Result<Money, &'static str> {
        money(fen, Some(self.cell(&["货币种类"])?)).ok_or("an amount or a currency is not as ours are")
    }

    /// Negative where WeChat Pay gave it back, with a refund.
    fn fee(&self) -> Result<Option<i64>, &'static str> {
        self.cell(&["手续费"]).ok().map(|text| fen(text).ok_or("a fee is no number")).transpose()
    }

    fn order(&self) -> Option<OrderId> {
        self.cell(&["商户数据包"]).ok().and_then(|attach| attach.parse().ok())
    }

    fn at(&self) -> Result<Timestamp, &'static str> {
        let time = jiff::fmt::strtime::parse("%Y-%m-%d %H:%M:%S", self.cell(&["交易时间"])?);
        time.and_then(|time| time.to_datetime())
            .and_then(|time| BEIJING.to_timestamp(time))
            .map_err(|_| "a time cannot be read")
    }
}

/// Yuan in decimals as fen. Fees are written with more digits than are charged: rounded half up.
fn fen(yuan: &str) -> Option<i64> {
    let (sign, digits) = yuan.strip_prefix('-').map_or((1, yuan), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then_some(());
    number(whole).and(number(fraction)).filter(|()| !whole.is_empty())?;
    let mut places = fraction.bytes().map(|digit| i64::from(digit - b'0')).chain(std::iter::repeat(0));
    let (tenths, hundredths, rest) = (places.next()?, places.next()?, places.next()?);
    let fen = whole.parse::<i64>().ok()?.checked_mul(100)?;
    Some(sign * fen.checked_add(tenths * 10 + hundredths + i64::from(rest >= 5))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yuan_become_fen() {
        let cases =
            [("0.01", 1), ("12", 1200), ("1.5", 150), ("0.00600", 1), ("0.00400", 0), ("-0.09000", -9)];
        for (yuan, expected) in cases {
            assert_eq!(fen(yuan), Some(expected), "{yuan}");
        }
        for wrong in ["", "-", ".5", "1,0", "1e3", "0x1", "1.-1", "99999999999999999999"] {
            assert_eq!(fen(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_span_has_the_beijing_days_that_are_over() {
        let of = |from: &str, until: &str| {
            let now = "2024-03-05T01:00:00Z".parse().unwrap();
            days(from.parse().unwrap(), until.parse().unwrap(), now)
                .map(|days| days.iter().map(Date::to_string).collect::<Vec<_>>())
        };
        let ok = |from, until| of(from, until).unwrap();
        assert_eq!(ok("2024-03-01T16:00:00Z", "2024-03-02T16:00:00Z"), ["2024-03-02"]);
        assert_eq!(
            ok("2024-03-01T15:59:59Z", "2024-03-02T16:00:01Z"),
            ["2024-03-01", "2024-03-02", "2024-03-03"]
        );
        assert_eq!(ok("2024-03-04T10:00:00Z", "2024-03-09T10:00:00Z"), ["2024-03-04"]);
        assert!(ok("2024-03-02T00:00:00Z", "2024-03-02T00:00:00Z").is_empty());
        assert!(of("2023-03-01T00:00:00Z", "2024-03-01T00:00:00Z").is_err());
    }

    #[test]
    fn an_old_bill_with_fewer_columns_is_read_and_a_broken_one_is_not() {
        let header = "\u{feff}交易时间,商户订单号,交易状态,货币种类,总金额,商户退款单号,退款金额,商品名称,商户数据包,手续费";
        let line = "`2014-11-10 16:33:45,`1415640626,`SUCCESS,`CNY,`0.01,`0,`0,`a, b,`note,`0";
        let sums = "总交易单数,总交易额\r\n`1,`0.01\r\n";
        let read = parse(&format!("{header}\r\n{line}\r\n{sums}")).unwrap();
        assert_eq!(read.len(), 1);
        let movement = read[0].as_ref().unwrap();
        assert_eq!(movement.at.to_string(), "2014-11-10T08:33:45Z");
        assert_eq!((movement.money.amount, movement.fee, movement.order), (1, Some(0), None));
        assert!(parse("").is_err());
        assert!(parse(&format!("{header}\n{line}\n")).is_err());
        // One that cannot be read does not keep us from the others.
        for spoilt in ["rest of a cell".to_owned(), format!("{line},`more"), line.replace("SUCCESS", "OTHER")]
        {
            let read = parse(&format!("{header}\n{line}\n{spoilt}\n{line}\n{sums}")).unwrap();
            assert_eq!(read.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true], "{spoilt}");
        }
        assert!(parse("交易状态\n`SUCCESS\n").is_err());
    }
}
