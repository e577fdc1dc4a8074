-- Links in mails by which a customer sees, pays or cancels one order without signing in. They are signed, not stored:
-- what is stored is which of them are good no more, and whose reminders nobody wants. An order without a row has had
-- nothing of either: most orders never get one.
CREATE TABLE order_links (
    order_id        uuid PRIMARY KEY REFERENCES orders,
    -- Links of a lower generation are revoked.
    generation      integer NOT NULL DEFAULT 0 CHECK (generation >= 0),
    revoked_at      timestamptz,
    -- The customer asked for no more reminders. For ever.
    unsubscribed_at timestamptz,
    CHECK ((generation > 0) = (revoked_at IS NOT NULL))
);
