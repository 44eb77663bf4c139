-- Rates of every type. Their unit is that of their product on the card (rate_card_product).
ALTER TABLE rate DROP CONSTRAINT rate_rate_type_check;
ALTER TABLE rate DROP CONSTRAINT rate_check1;
ALTER TABLE rate ADD CONSTRAINT rate_type_check
    CHECK (rate_type IN ('FLAT', 'TIERED', 'PERCENTAGE', 'TIERED_PERCENTAGE', 'SUBSCRIPTION'));
ALTER TABLE rate ADD CONSTRAINT rate_has_a_price
    CHECK ((rate_type IN ('TIERED', 'TIERED_PERCENTAGE')) = (tiers IS NOT NULL) AND (tiers IS NULL) <> (price IS NULL));

-- With a flat rate of a subscription; a part of the timeline's key.
ALTER TABLE rate ADD COLUMN billing_frequency text
    CHECK (billing_frequency IN ('MONTHLY', 'QUARTERLY', 'ANNUAL', 'WEEKLY'));

-- With a percentage.
ALTER TABLE rate ADD COLUMN minimum numeric CHECK (minimum >= 0);
ALTER TABLE rate ADD COLUMN use_list_prices boolean;
ALTER TABLE rate ADD CONSTRAINT rate_of_spend
    CHECK ((rate_type IN ('PERCENTAGE', 'TIERED_PERCENTAGE')) = (use_list_prices IS NOT NULL)
           AND (minimum IS NULL OR use_list_prices IS NOT NULL));

-- With a legacy subscription.
ALTER TABLE rate ADD COLUMN quantity numeric CHECK (quantity >= 0);
ALTER TABLE rate ADD COLUMN is_prorated boolean;
ALTER TABLE rate ADD CONSTRAINT rate_of_subscription
    CHECK ((rate_type = 'SUBSCRIPTION') = (quantity IS NOT NULL)
           AND (rate_type = 'SUBSCRIPTION') = (is_prorated IS NOT NULL));

-- Beside a list price that is flat or tiered, the same for what a commit at commit rate pays for; at most one is set.
ALTER TABLE rate ADD COLUMN commit_price numeric;
ALTER TABLE rate ADD COLUMN commit_tiers jsonb;
ALTER TABLE rate ADD CONSTRAINT rate_of_commits
    CHECK ((commit_price IS NULL OR commit_tiers IS NULL)
           AND (rate_type IN ('FLAT', 'TIERED') OR (commit_price IS NULL AND commit_tiers IS NULL)));
