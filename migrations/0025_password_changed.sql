-- Whoever changes a password while signed in is told by mail, as after a reset: somebody else may have known it. It
-- goes the way of codes, as the mail to somebody who has an account already does, and has none.
ALTER TABLE account_codes
    DROP CONSTRAINT account_codes_purpose_check,
    ADD CONSTRAINT account_codes_purpose_check
        CHECK (purpose IN ('verify_email', 'reset_password', 'already_registered', 'password_changed'));
