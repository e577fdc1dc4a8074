-- Mails that a mail server refuses for good, and check-in codes that replace one that was lost.

-- Set: the mail server will never take this mail. It is told on the order's timeline, once, and not tried again.
ALTER TABLE mails ADD COLUMN rejected_at timestamptz;

-- Which change of the order asked for the code; NULL: it was drawn when the order was paid. A mail knows by it whether the
-- code that it was to bring is still the one that is good.
ALTER TABLE check_ins ADD COLUMN drawn_for uuid REFERENCES order_changes;

ALTER TABLE order_changes
    DROP CONSTRAINT order_changes_kind_check,
    ADD CONSTRAINT order_changes_kind_check CHECK (kind IN
        ('cancel', 'extend', 'fulfil', 'check_in', 'end_refunded', 'new_check_in_code'));
