-- Mails that came back: the mail server took them, and another told it later that nobody has that mailbox. Whoever writes
-- to such addresses again and again is not believed any more, so an order whose mail came back gets no others. The first
-- one is kept. It is a row of its own, for few orders have one, and `mails` is locked while a mail is sent.
CREATE TABLE mail_bounces (
    order_id   uuid PRIMARY KEY REFERENCES orders,
    kind       text NOT NULL,
    -- RFC 3463: 5.1.1 is a mailbox that is not there.
    status     text NOT NULL CHECK (status ~ '^5\.\d{1,3}\.\d{1,3}$'),
    bounced_at timestamptz NOT NULL
);
