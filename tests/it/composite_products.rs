//! Composite products: what they share in (reference: pricing, sections 3.2 to 3.5).

use serde_json::{Value, json};
use upbeat::access::{EnvironmentKind, Role};

use crate::support::{Api, Metric, product_update as update};
use crate::world::{NOW, refuse, with};

const CREATE: &str = "/v1/contract-pricing/products/create";
const GET: &str = "/v1/contract-pricing/products/get";
const UPDATE: &str = "/v1/contract-pricing/products/update";
const ARCHIVE: &str = "/v1/contract-pricing/products/archive";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

async fn usage(api: &Api, name: &str) -> String {
    let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    api.product(name, &metric, json!({})).await
}

/// The body of a composite with more fields.
fn composite(name: &str, more: Value) -> Value {
    let mut body = json!({ "name": name, "type": "COMPOSITE" });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

async fn create(api: &Api, name: &str, more: Value) -> String {
    api.post(CREATE, composite(name, more)).await.id()
}

async fn shown(api: &Api, id: &str) -> Value {
    api.post(GET, json!({ "id": id })).await.data()
}

#[tokio::test]
async fn a_composite_is_shown_as_it_was_made_and_changed() {
    let api = Api::at(NOW).await;
    let (one, two) = (usage(&api, "one").await, usage(&api, "two").await);
    let more = json!({
        "composite_product_ids": [one, two], "composite_tags": ["ai", "gpu"], "composite_scope": "customer",
        "exclude_free_usage": true, "include_composite_spend": false, "netsuite_overage_item_id": "n2",
        "tags": ["support"],
    });
    let id = create(&api, "Support", more.clone()).await;
    let mut state = with(&more, "/composite_scope", json!("CUSTOMER"));
    for (field, value) in [("name", "Support"), ("created_at", NOW), ("created_by", "test token")] {
        state[field] = json!(value);
    }
    state["is_refundable"] = json!(true);
    let product = shown(&api, &id).await;
    let expected = json!({
        "id": id, "type": "COMPOSITE", "archived_at": null, "initial": state, "current": state, "updates": [],
        "custom_fields": {},
    });
    assert_eq!(product, expected);
    let list = api.post("/v1/contract-pricing/products/list", json!({})).await.data();
    assert_eq!(list[2], expected);

    let changes = json!({
        "composite_product_ids": [two], "composite_tags": [], "exclude_free_usage": false,
        "include_composite_spend": true, "netsuite_overage_item_id": "n3",
    });
    api.post(UPDATE, update(&id, "2026-04-01T00:00:00Z", changes.clone())).await.id();
    let nothing = json!({
        "composite_product_ids": null, "composite_tags": null, "exclude_free_usage": null,
        "include_composite_spend": null,
    });
    api.post(UPDATE, update(&id, "2026-05-01T00:00:00Z", nothing)).await.id();
    let product = shown(&api, &id).await;
    assert_eq!(product["current"], state);
    let mut first = changes.clone();
    for (field, value) in
        [("starting_at", "2026-04-01T00:00:00Z"), ("created_at", NOW), ("created_by", "test token")]
    {
        first[field] = json!(value);
    }
    assert_eq!(product["updates"][0], first);
    let no_field =
        json!({ "starting_at": "2026-05-01T00:00:00Z", "created_at": NOW, "created_by": "test token" });
    assert_eq!(product["updates"][1], no_field);
    api.move_clock("2026-05-02T00:00:00Z").await;
    let mut later = state.clone();
    later.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
    later["starting_at"] = json!("2026-05-01T00:00:00Z");
    assert_eq!(shown(&api, &id).await["current"], later);
}

#[tokio::test]
async fn the_members_of_a_composite_exist_and_are_usage() {
    let api = Api::at(NOW).await;
    let one = usage(&api, "one").await;
    let fixed = api.fixed_product("fixed").await;
    let archived = usage(&api, "archived").await;
    api.post(ARCHIVE, json!({ "product_id": archived })).await.id();
    let seat = api.post(CREATE, json!({ "name": "seat", "type": "SUBSCRIPTION" })).await.id();
    let other = create(&api, "other", json!({ "composite_tags": ["x"] })).await;
    let ids = |ids: Value| json!({ "composite_product_ids": ids });
    let cases = [
        (ids(json!([one, NOBODY])), "composite_product_ids[1]: there is no product"),
        (ids(json!([fixed])), "is FIXED, and a composite shares in usage alone"),
        (ids(json!([seat])), "is SUBSCRIPTION, and a composite shares in usage alone"),
        (ids(json!([archived])), "composite_product_ids[0]: product"),
        (ids(json!([archived])), "is archived"),
        (ids(json!([other])), "is COMPOSITE, which needs include_composite_spend"),
        (ids(json!([one, one])), "composite_product_ids: names a product twice"),
        (ids(json!(["x"])), "composite_product_ids[0]:"),
        (ids(json!(one)), "composite_product_ids:"),
        (json!({ "composite_product_ids": [one], "composite_tags": "ai" }), "composite_tags:"),
        (json!({ "composite_product_ids": [one], "exclude_free_usage": "no" }), "exclude_free_usage:"),
        (json!({ "composite_product_ids": [one], "include_composite_spend": 1 }), "include_composite_spend:"),
    ];
    let created = cases.iter().map(|(more, part)| (composite("c", more.clone()), *part));
    refuse(&api, CREATE, created.collect()).await;
    let only_in_creation = [
        (json!({}), "composite_product_ids: a COMPOSITE product needs these or composite_tags"),
        (json!({ "composite_product_ids": [], "composite_tags": [] }), "composite_product_ids: a COMPOSITE"),
        (json!({ "composite_tags": ["a"], "composite_scope": "GALAXY" }), "composite_scope:"),
    ];
    refuse(
        &api,
        CREATE,
        only_in_creation.iter().map(|(more, part)| (composite("c", more.clone()), *part)).collect(),
    )
    .await;
    let id = create(&api, "c", ids(json!([one]))).await;
    let updated = cases.iter().map(|(more, part)| (update(&id, NOW, more.clone()), *part));
    refuse(&api, UPDATE, updated.collect()).await;
    let none = update(&id, NOW, ids(json!([])));
    refuse(&api, UPDATE, vec![(none, "composite_product_ids: a COMPOSITE product needs these")]).await;
    assert_eq!(shown(&api, &id).await["updates"], json!([]));
    let with_other = json!({ "composite_product_ids": [one, other], "include_composite_spend": true });
    create(&api, "d", with_other).await;
}

#[tokio::test]
async fn a_member_that_is_archived_stays_one() {
    let api = Api::at(NOW).await;
    let (one, two) = (usage(&api, "one").await, usage(&api, "two").await);
    let id = create(&api, "c", json!({ "composite_product_ids": [one] })).await;
    for product in [&one, &two] {
        api.post(ARCHIVE, json!({ "product_id": product })).await.id();
    }
    let to = |start: &str, ids: Value| update(&id, start, json!({ "composite_product_ids": ids }));
    let three = usage(&api, "three").await;
    api.post(UPDATE, to("2026-04-01T00:00:00Z", json!([one, three]))).await.id();
    api.post(UPDATE, to("2026-05-01T00:00:00Z", json!([three]))).await.id();
    api.post(UPDATE, to("2026-06-01T00:00:00Z", json!([one]))).await.id();
    api.post(UPDATE, update(&id, NOW, json!({ "name": "d" }))).await.id();
    let new = to(NOW, json!([two]));
    refuse(&api, UPDATE, vec![(new, "composite_product_ids[0]: product")]).await;
    // The composite itself may be archived, and mended after that.
    api.post(ARCHIVE, json!({ "product_id": id })).await.id();
    api.post(UPDATE, to("2026-07-01T00:00:00Z", json!([three]))).await.id();
}

#[tokio::test]
async fn what_composites_need_holds_in_every_later_state() {
    let api = Api::at(NOW).await;
    let one = usage(&api, "one").await;
    let other = create(&api, "other", json!({ "composite_product_ids": [one] })).await;
    let id = create(&api, "c", json!({ "composite_product_ids": [one] })).await;
    let with_other = json!({ "composite_product_ids": [one, other], "include_composite_spend": true });
    api.post(UPDATE, update(&id, "2026-05-01T00:00:00Z", with_other)).await.id();
    let without = json!({ "include_composite_spend": false });
    let part = "which needs include_composite_spend";
    refuse(&api, UPDATE, vec![(update(&id, "2026-06-01T00:00:00Z", without.clone()), part)]).await;
    // In April it is false anyway, and from May on true again.
    api.post(UPDATE, update(&id, "2026-04-01T00:00:00Z", without)).await.id();
    let other_alone = json!({ "composite_product_ids": [other] });
    refuse(&api, UPDATE, vec![(update(&id, "2026-04-15T00:00:00Z", other_alone), part)]).await;
    let empty = json!({ "composite_product_ids": [] });
    let part = "composite_product_ids: a COMPOSITE product needs these";
    refuse(&api, UPDATE, vec![(update(&id, "2026-04-15T00:00:00Z", empty), part)]).await;
}

#[tokio::test]
async fn no_composite_shares_in_itself() {
    let api = Api::at(NOW).await;
    let circle = "include_composite_spend: leads in a circle";
    let spend = |more: Value| {
        let mut more = more;
        more["include_composite_spend"] = json!(true);
        more
    };
    let own = spend(json!({ "tags": ["t"], "composite_tags": ["t"] }));
    refuse(&api, CREATE, vec![(composite("own", own.clone()), circle)]).await;
    create(&api, "no circle", with(&own, "/include_composite_spend", json!(false))).await;

    let a = create(&api, "A", spend(json!({ "composite_tags": ["a"] }))).await;
    let b = create(&api, "B", spend(json!({ "composite_product_ids": [a] }))).await;
    // by a tag that is given, at creation and in an update; by an id; by a tag that is wanted; over one and over two
    let c = spend(json!({ "composite_product_ids": [b], "tags": ["a"] }));
    let part = "include_composite_spend: leads in a circle: `C` shares in `B` shares in `A` shares in `C`";
    refuse(&api, CREATE, vec![(composite("C", c.clone()), part)]).await;
    let c = create(&api, "C", with(&c, "/tags", json!(["c"]))).await;
    refuse(
        &api,
        UPDATE,
        vec![
            (update(&c, NOW, json!({ "tags": ["a"] })), circle),
            (update(&b, NOW, json!({ "tags": ["x", "a"] })), "`B` shares in `A` shares in `B`"),
            (update(&a, NOW, json!({ "composite_product_ids": [a] })), "`A` shares in `A`"),
            (update(&a, NOW, json!({ "composite_product_ids": [c] })), circle),
            (update(&a, NOW, json!({ "composite_tags": ["c"] })), circle),
        ],
    )
    .await;
    for id in [&a, &b, &c] {
        assert_eq!(shown(&api, id).await["updates"], json!([]), "a refusal leaves nothing");
    }

    // In April C leaves B alone, so that A may share in it then, and not a day longer.
    let (april, may) = ("2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z");
    let usage = usage(&api, "usage").await;
    api.post(UPDATE, update(&c, april, json!({ "composite_product_ids": [usage] }))).await.id();
    api.post(UPDATE, update(&c, may, json!({ "composite_product_ids": [b] }))).await.id();
    let part = "leads in a circle from 2026-05-01T00:00:00Z on";
    refuse(&api, UPDATE, vec![(update(&a, april, json!({ "composite_tags": ["c"] })), part)]).await;
    api.post(UPDATE, update(&a, may, json!({ "composite_tags": ["nothing"] }))).await.id();
    api.post(UPDATE, update(&a, april, json!({ "composite_tags": ["c"] }))).await.id();
    refuse(&api, UPDATE, vec![(update(&c, april, json!({ "composite_product_ids": [b] })), circle)]).await;
}

#[tokio::test]
async fn of_two_changes_that_close_a_circle_one_is_refused() {
    let api = Api::at(NOW).await;
    let one = usage(&api, "one").await;
    let alone = json!({ "composite_product_ids": [one], "include_composite_spend": true });
    let (a, b) = (create(&api, "A", alone.clone()).await, create(&api, "B", alone).await);
    let share = |of: &str, inner: &str| update(of, NOW, json!({ "composite_product_ids": [inner] }));
    let (one_way, other_way) = tokio::join!(api.post(UPDATE, share(&a, &b)), api.post(UPDATE, share(&b, &a)));
    let mut statuses = [one_way.status.as_u16(), other_way.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400], "{} {}", one_way.body, other_way.body);
}

#[tokio::test]
async fn a_product_of_another_environment_is_none() {
    let api = Api::at(NOW).await;
    let one = usage(&api, "one").await;
    let production = api.with_token(EnvironmentKind::Production, Role::Admin).await;
    let body = composite("c", json!({ "composite_product_ids": [one] }));
    refuse(&production, CREATE, vec![(body, "composite_product_ids[0]: there is no product")]).await;
}
