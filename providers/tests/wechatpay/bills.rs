//! The daily trade bill.

use domain::statement::LineKind;
use domain::{RefundId, Timestamp};
use providers::{Error, Provider as _};

use crate::{cny, hex, new_attempt, routes::OPENID, standin::MERCHANT_ID, start};

const HEADER: &str = "\u{feff}交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,\
    交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,\
    退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注";
const SUMS: &str = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n\
    `2,`12.50,`2.50,`0.00,`0.07000,`12.50,`2.50\r\n";

fn line(at: &str, payment: &str, state: &str, attach: &str, refund: Option<&str>) -> String {
    let (refund_cells, fee, amounts) = match refund {
        Some(id) => (format!("`503,`{id},`2.40,`0.10,`ORIGINAL,`PROCESSING"), "-0.02000", "`0.00,`2.50"),
        None => ("`0,`0,`0.00,`0.00,`,`".to_owned(), "0.08000", "`12.50,`0.00"),
    };
    format!(
        "`{at},`wxd678efh567hg6787,`{MERCHANT_ID},`0,`,`420,`{payment},`{OPENID},`NATIVE,`{state},`OTHERS,\
         `CNY,`12.40,`0.10,{refund_cells},`tea, green and 'black',`{attach},`{fee},`0.60%,{amounts},`"
    )
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[tokio::test]
async fn captures_and_refunds_of_several_days_are_told_oldest_first() {
    let (standin, wechat) = start().await;
    let new = new_attempt(1);
    let (payment, order) = (hex(new.payment), new.order.to_string());
    let refund = RefundId::new(at("2024-03-02T00:00:00Z"), [7; 10]);
    let refund_no = refund.to_string().trim_start_matches("re_").to_owned();
    let first = [
        line("2024-03-01 23:59:59", &payment, "SUCCESS", &order, None),
        line("2024-03-01 00:00:00", "SHOP-7", "SUCCESS", "another shop's", None),
    ];
    let second = [line("2024-03-02 09:00:00", &payment, "REFUND", &order, Some(&refund_no))];
    standin.with(|world| {
        for (day, lines) in [("2024-03-01", first.join("\r\n")), ("2024-03-02", second.join("\r\n"))] {
            world.bills.insert(day.to_owned(), format!("{HEADER}\r\n{lines}\r\n{SUMS}"));
        }
    });

    let statement = wechat.statement(at("2024-02-28T16:00:00Z"), at("2024-03-05T16:00:00Z")).await.unwrap();
    assert_eq!(statement.unreadable, []);
    let movements = statement.lines;
    let times: Vec<_> = movements.iter().map(|movement| movement.at.to_string()).collect();
    assert_eq!(times, ["2024-02-29T16:00:00Z", "2024-03-01T15:59:59Z", "2024-03-02T01:00:00Z"]);
    assert_eq!(movements[0].order, None);
    assert_eq!(movements[1].order, Some(new.order));
    assert_eq!((&movements[1].kind, &movements[1].provider_payment_id), (&LineKind::Captured, &payment));
    assert_eq!((movements[1].money, movements[1].fee), (cny(1250), Some(8)));
    let kind = LineKind::Refunded { refund: Some(refund), provider_refund_id: refund_no };
    assert_eq!((&movements[2].kind, &movements[2].provider_payment_id), (&kind, &payment));
    assert_eq!((movements[2].money, movements[2].fee), (cny(250), Some(-2)));

    // From is included, until is not.
    let some = wechat.statement(at("2024-02-29T16:00:00Z"), at("2024-03-01T15:59:59Z")).await.unwrap();
    assert_eq!(some.lines.len(), 1);
    // A day that is not over has no bill, and is not asked for.
    standin.with(|world| world.seen.clear());
    let now = Timestamp::now();
    assert!(wechat.statement(now, at("2199-01-01T00:00:00Z")).await.unwrap().lines.is_empty());
    assert!(standin.with(|world| world.seen.is_empty()));
}

#[tokio::test]
async fn a_bill_that_is_not_the_one_announced_or_not_a_bill_is_no_statement() {
    let (standin, wechat) = start().await;
    let text = line("2024-03-01 12:00:00", "SHOP-7", "SUCCESS", "", None);
    let ask = || wechat.statement(at("2024-03-01T00:00:00Z"), at("2024-03-01T12:00:00Z"));
    let bills = |standin: &crate::StandIn, bill: String| {
        standin.with(|world| world.bills.insert("2024-03-01".to_owned(), bill));
    };
    bills(&standin, format!("{HEADER}\r\n{text}\r\n{SUMS}"));
    assert_eq!(ask().await.unwrap().lines.len(), 1);
    standin.with(|world| world.bill_spoilt = true);
    assert!(matches!(ask().await, Err(Error::Unavailable(_))));
    standin.with(|world| world.bill_spoilt = false);

    let spoilt = text.replace("12.50", "twelve");
    bills(&standin, format!("{HEADER}\r\n{spoilt}\r\n{text}\r\n{SUMS}"));
    let statement = ask().await.unwrap();
    assert_eq!((statement.lines.len(), statement.unreadable.len()), (1, 1));
    let line = &statement.unreadable[0];
    assert_eq!(line.reference, "2024-03-01/1");
    assert!(!format!("{line:?}").contains(OPENID), "{line:?}");
    bills(&standin, "<html>".to_owned());
    assert!(matches!(ask().await, Err(Error::Unavailable(_))));
}
