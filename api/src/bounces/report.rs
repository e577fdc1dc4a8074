//! A report of what became of a mail, as mail servers write it: RFC 3464.

use domain::{OrderId, mail::MailKind};
use mail_parser::{Message, MessageParser, MessagePart, MimeHeaders as _, PartType};

/// A mail of an order that will never arrive.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    pub order: OrderId,
    pub kind: MailKind,
    /// With its angle brackets, as the mail had it.
    pub message_id: String,
    /// RFC 3463: of class 5.
    pub status: String,
}

/// None: it is no report, or none about a mail of an order that failed for good.
pub fn read(mail: &[u8]) -> Option<Report> {
    let mail = MessageParser::default().parse(mail)?;
    let is = |part: &MessagePart<'_>, subtype: &str| part.is_content_type("message", subtype);
    let told =
        mail.parts.iter().find(|part| is(part, "delivery-status") || is(part, "global-delivery-status"))?;
    let status = failed(&String::from_utf8_lossy(told.contents()))?;
    let id = mail.parts.iter().find_map(returned)?;
    let (order, kind) = id.split_once('@')?.0.split_once('.')?;
    let (order, kind) = (order.parse().ok()?, MailKind::parse(kind)?);
    Some(Report { order, kind, message_id: format!("<{id}>"), status })
}

/// The Message-ID of the mail that came back: of all of it, or of its header alone.
fn returned(part: &MessagePart<'_>) -> Option<String> {
    let id = |mail: &Message<'_>| mail.message_id().map(str::to_owned);
    match &part.body {
        PartType::Message(mail) => id(mail),
        _ if part.is_content_type("text", "rfc822-headers")
            || part.is_content_type("message", "global-headers") =>
        {
            id(&MessageParser::default().parse(part.contents())?)
        }
        _ => None,
    }
}

/// The status of the first recipient whose mail failed for good. We have one recipient for each mail.
fn failed(report: &str) -> Option<String> {
    let field = |group: &str, name: &str| {
        group.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let report = report.replace("\r\n", "\n");
    report.split("\n\n").find_map(|group| {
        let is_failed = field(group, "Action")?.eq_ignore_ascii_case("failed");
        let status = field(group, "Status")?;
        let status = status.split([' ', '(']).next().unwrap_or_default().to_owned();
        (is_failed && is_permanent(&status)).then_some(status)
    })
}

fn is_permanent(status: &str) -> bool {
    let parts: Vec<&str> = status.split('.').collect();
    let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    parts.len() == 3 && parts[0] == "5" && parts.iter().all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(action: &str, status: &str, returned: &str) -> Option<Report> {
        let mail = format!(
            "From: MAILER-DAEMON@mx.test\r\nTo: orders@shop.test\r\nSubject: Undelivered\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n\
             --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\n\
             Final-Recipient: rfc822; ann@example.org\r\nAction: {action}\r\nStatus: {status}\r\n\r\n\
             --b\r\n{returned}\r\n--b--\r\n"
        );
        read(mail.as_bytes())
    }

    const ID: &str = "ord_01920000000070008000000000000001.reminder_1@shop.test";

    #[test]
    fn what_failed_for_good_is_found_in_either_form() {
        let whole =
            format!("Content-Type: message/rfc822\r\n\r\nMessage-ID: <{ID}>\r\nSubject: x\r\n\r\nHello\r\n");
        let header = format!("Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{ID}>\r\nSubject: x\r\n");
        for returned in [&whole, &header] {
            let report = report("failed", "5.1.1 (no such user)", returned).expect("it is one");
            assert_eq!((report.kind, report.status.as_str()), (MailKind::Reminder(1), "5.1.1"));
            assert_eq!(report.message_id, format!("<{ID}>"));
        }
        for (action, status) in
            [("delayed", "4.4.1"), ("failed", "4.4.7"), ("delivered", "2.0.0"), ("failed", "5")]
        {
            assert_eq!(report(action, status, &whole), None, "{action} {status}");
        }
        let of_others = whole.replace("ord_", "xyz_");
        assert_eq!(report("failed", "5.1.1", &of_others), None);
        assert_eq!(read(b"Subject: out of office\r\n\r\nI am away.\r\n"), None);
        assert_eq!(read(b""), None);
    }
}
