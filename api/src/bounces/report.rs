//! A report of what became of a mail, as mail servers write it: RFC 3464.

use domain::{mail::MailKind, refusal::Refusal};
use mail_parser::{Message, MessageParser, MessagePart, MimeHeaders as _, PartType};
use store::bounces::Report;

/// None: it is no report, or none about a mail of an order that failed for good.
pub fn read(mail: &[u8]) -> Option<Report> {
    let mail = MessageParser::default().parse(mail)?;
    let is = |part: &MessagePart<'_>, subtype: &str| part.is_content_type("message", subtype);
    let told =
        mail.parts.iter().find(|part| is(part, "delivery-status") || is(part, "global-delivery-status"))?;
    let Failed { refusal, recipients } = failed(&String::from_utf8_lossy(told.contents()))?;
    let id = mail.parts.iter().find_map(returned)?;
    // Behind the kind there is something that nobody guesses, and an older one has nothing.
    let mut names = id.split_once('@')?.0.split('.');
    let (order, kind) = (names.next()?.parse().ok()?, MailKind::parse(names.next()?)?);
    Some(Report { order, kind, message_id: format!("<{id}>"), recipients, refusal })
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

/// A recipient whose mail failed for good.
struct Failed {
    refusal: Refusal,
    /// As we wrote to them, if the report says it, and as the last server knows them.
    recipients: Vec<String>,
}

/// The first of them. We have one recipient for each mail.
fn failed(report: &str) -> Option<Failed> {
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
        let refusal = Refusal::parse(status.split([' ', '(']).next().unwrap_or_default())?;
        let recipient = |name| field(group, name).and_then(|value| address(&value));
        let recipients = ["Original-Recipient", "Final-Recipient"].into_iter().filter_map(recipient);
        is_failed.then(|| Failed { refusal, recipients: recipients.collect() })
    })
}

/// Of `rfc822; ann@example.org`, whatever the type of the address.
fn address(value: &str) -> Option<String> {
    let (_, address) = value.split_once(';')?;
    Some(address.trim().trim_start_matches('<').trim_end_matches('>').to_owned())
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
             Original-Recipient: rfc822;<Ann@example.org>\r\nFinal-Recipient: rfc822; ann@gone.test\r\n\
             Action: {action}\r\nStatus: {status}\r\n\r\n\
             --b\r\n{returned}\r\n--b--\r\n"
        );
        read(mail.as_bytes())
    }

    const ID: &str = "ord_01920000000070008000000000000001.reminder_1.00ff00ff00ff00ff@shop.test";

    #[test]
    fn what_failed_for_good_is_found_in_either_form() {
        let whole =
            format!("Content-Type: message/rfc822\r\n\r\nMessage-ID: <{ID}>\r\nSubject: x\r\n\r\nHello\r\n");
        let header = format!("Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{ID}>\r\nSubject: x\r\n");
        for returned in [&whole, &header] {
            let report = report("failed", "5.1.1 (no such user)", returned).expect("it is one");
            assert_eq!((report.kind, report.refusal.to_string().as_str()), (MailKind::Reminder(1), "5.1.1"));
            assert_eq!(report.message_id, format!("<{ID}>"));
            assert_eq!(report.recipients, ["Ann@example.org", "ann@gone.test"]);
        }
        for (action, status) in
            [("delayed", "4.4.1"), ("failed", "4.4.7"), ("delivered", "2.0.0"), ("failed", "5")]
        {
            assert_eq!(report(action, status, &whole), None, "{action} {status}");
        }
        // From before there was something that nobody guesses.
        let untagged = whole.replace(".00ff00ff00ff00ff", "");
        assert_eq!(report("failed", "5.1.1", &untagged).map(|it| it.kind), Some(MailKind::Reminder(1)));
        let of_others = whole.replace("ord_", "xyz_");
        assert_eq!(report("failed", "5.1.1", &of_others), None);
        assert_eq!(read(b"Subject: out of office\r\n\r\nI am away.\r\n"), None);
        assert_eq!(read(b""), None);
    }
}
