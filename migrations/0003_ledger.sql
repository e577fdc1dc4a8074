-- A ledger that no code path can break: it is append-only, each movement does what its kind says and goes on from
-- the balance that the one before it left, and a level is the balance that its SKU's last movement left.
-- `holdfast audit` proves the same on any database, also on one whose triggers somebody turned off.

-- A delivery of goods is not a correction: shops that count want to tell them apart.
ALTER TABLE stock_movements
    DROP CONSTRAINT stock_movements_kind_check,
    ADD CONSTRAINT stock_movements_kind_check CHECK (kind IN
        ('received', 'adjusted', 'held', 'committed', 'released', 'returned')),
    ADD COLUMN quantity bigint NOT NULL GENERATED ALWAYS AS (
        CASE WHEN kind = 'held' THEN held_delta
             WHEN kind IN ('committed', 'released') THEN -held_delta
             ELSE on_hand_delta END) STORED,
    ADD CONSTRAINT deltas_fit_the_kind CHECK (CASE kind
        WHEN 'received'  THEN on_hand_delta > 0 AND held_delta = 0
        WHEN 'adjusted'  THEN on_hand_delta <> 0 AND held_delta = 0
        WHEN 'held'      THEN on_hand_delta = 0 AND held_delta > 0
        WHEN 'committed' THEN on_hand_delta < 0 AND held_delta = on_hand_delta
        WHEN 'released'  THEN on_hand_delta = 0 AND held_delta < 0
        WHEN 'returned'  THEN on_hand_delta > 0 AND held_delta = 0
        ELSE false END),
    ADD CONSTRAINT balance_never_negative CHECK (held_after >= 0 AND held_after <= on_hand_after),
    ADD CONSTRAINT an_order_exactly_where_one_moves CHECK
        ((order_id IS NULL) = (kind IN ('received', 'adjusted'))),
    ADD CONSTRAINT key_by_hand_only CHECK (idempotency_key IS NULL OR order_id IS NULL);

-- A movement of an order moves what its hold says, all of it. (The reference to `orders` goes by way of the hold.)
ALTER TABLE holds ADD CONSTRAINT holds_quantity UNIQUE (order_id, sku, quantity);
ALTER TABLE stock_movements
    DROP CONSTRAINT stock_movements_order_id_fkey,
    ADD CONSTRAINT moves_the_whole_hold FOREIGN KEY (order_id, sku, quantity)
        REFERENCES holds (order_id, sku, quantity);

-- A hold moves once. (UNIQUE (order_id, sku, kind) keeps each kind from coming twice.)
CREATE UNIQUE INDEX a_hold_ends_once ON stock_movements (order_id, sku) WHERE kind IN ('committed', 'released');

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of %: %', lower(TG_OP), TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stock_movements
    EXECUTE FUNCTION refuse('the ledger is append-only; write a movement that corrects it');
CREATE TRIGGER a_hold_moves_once BEFORE UPDATE ON holds
    FOR EACH ROW WHEN (OLD.state <> 'held' AND NEW.state <> OLD.state)
    EXECUTE FUNCTION refuse('a hold moves once, to committed or released');
CREATE TRIGGER holds_stay BEFORE DELETE OR TRUNCATE ON holds
    EXECUTE FUNCTION refuse('an order''s hold stays on record');

-- Looked at once per statement, not per row: a batch at the door writes hundreds. Whoever writes movements changes
-- the levels before or in the same statement, under their locks.
CREATE FUNCTION ledger_goes_on() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE broken text;
BEGIN
    SELECT m.sku INTO broken
    FROM (SELECT sku, id, on_hand_after, held_after,
                 on_hand_after - on_hand_delta AS on_hand_before, held_after - held_delta AS held_before,
                 lag(on_hand_after) OVER of_sku AS on_hand_left, lag(held_after) OVER of_sku AS held_left,
                 row_number() OVER of_sku = 1 AS is_first, lead(id) OVER of_sku IS NULL AS is_last
          FROM written WINDOW of_sku AS (PARTITION BY sku ORDER BY id)) AS m
    LEFT JOIN LATERAL (SELECT on_hand_after, held_after FROM stock_movements
                       WHERE m.is_first AND sku = m.sku AND id < m.id
                       ORDER BY id DESC LIMIT 1) AS earlier ON true
    LEFT JOIN stock_levels AS level ON m.is_last AND level.sku = m.sku
    WHERE m.on_hand_before <> coalesce(m.on_hand_left, earlier.on_hand_after, 0)
       OR m.held_before <> coalesce(m.held_left, earlier.held_after, 0)
       OR m.is_last AND (m.on_hand_after, m.held_after) IS DISTINCT FROM (level.on_hand, level.held)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the ledger of % does not add up', broken USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_goes_on AFTER INSERT ON stock_movements
    REFERENCING NEW TABLE AS written EXECUTE FUNCTION ledger_goes_on();

-- A level does not change without a movement. Looked at when the transaction ends.
CREATE FUNCTION level_is_the_last_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM stock_levels level
               LEFT JOIN LATERAL (SELECT on_hand_after, held_after FROM stock_movements
                                  WHERE sku = level.sku ORDER BY id DESC LIMIT 1) AS last ON true
               WHERE level.sku = NEW.sku
                 AND (level.on_hand <> coalesce(last.on_hand_after, 0)
                      OR level.held <> coalesce(last.held_after, 0))) THEN
        RAISE EXCEPTION 'the level of % is not what its ledger says', NEW.sku
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER level_is_the_last_balance AFTER INSERT OR UPDATE ON stock_levels
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION level_is_the_last_balance();
